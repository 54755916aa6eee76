package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) clusterCommands() []*cobra.Command {
	status := a.Command("status", "status", func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) })
	status.Args = a.exactly(0)
	return append(a.tokenCommands(), status, a.nodeCommand(), a.joinCommand(), a.recoverCommand())
}

// status says how the cluster is. A cluster with errors ends with status 1, so
// that scripts can ask.
func (a *app) status(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	s, err := answer[client.Status](c.GetStatus(ctx, &client.GetStatusParams{Tenant: a.tenant}))
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(s)
	} else {
		err = a.statusWords(s)
	}
	if err == nil && !s.Ok {
		return exitStatus(1)
	}
	return err
}

func (a *app) statusWords(s client.Status) error {
	fmt.Fprintln(a.Stdout, s.Summary)
	for _, p := range s.Problems {
		fmt.Fprintf(a.Stdout, "  %s  %s\n", p.Severity, printable(p.Message))
	}
	fmt.Fprintln(a.Stdout)
	if s.SetupNeeded {
		fmt.Fprintln(a.Stdout, a.say("status.setup"))
	}
	counts := s.Counts
	rows := []string{
		a.say("status.cluster"), s.ClusterID,
		a.say("status.version"), s.SkerryVersion,
		a.say("status.apps"), fmt.Sprintf("%d (%d services)", counts.Apps, counts.Services),
		a.say("status.containers"), fmt.Sprintf("%d (%d running)", counts.Containers, counts.ContainersByPhase["running"]),
		a.say("status.images"), strconv.Itoa(counts.Images),
		a.say("status.volumes"), strconv.Itoa(counts.Volumes),
		a.say("status.nodes"), fmt.Sprintf("%d/%d ready", counts.NodesReady, counts.Nodes),
	}
	if s.Quorum != nil {
		rows = append(rows, a.say("status.quorum"), s.Quorum.Summary)
	}
	if err := a.details(rows...); err != nil || len(s.Nodes) == 0 {
		return err
	}
	fmt.Fprintln(a.Stdout)
	return table(a.Stdout, a.statusNodes(s))
}

func (a *app) statusNodes(s client.Status) [][]string {
	rows := [][]string{{"NODE", "ROLE", "READY", "AVAILABILITY", "CPU", "MEMORY", "DISK", "CONTAINERS", "WHY"}}
	for _, n := range s.Nodes {
		cpu, mem, running := load(n)
		disk := ""
		if n.Stats != nil {
			disk = size(n.Stats.DiskUsedBytes) + " / " + size(n.Stats.DiskTotalBytes)
		} else {
			cpu, mem = strconv.Itoa(n.Cpus)+" cores", size(n.MemoryBytes)
		}
		rows = append(rows, []string{n.Name, roleText(&model.Node{Meta: model.Meta{ID: n.ID}, Role: n.Role}, s.Quorum), yesNo(n.Ready), string(n.Availability), cpu, mem, disk, running, n.Reason})
	}
	return rows
}

func (a *app) recordCommands() []*cobra.Command {
	return []*cobra.Command{a.eventCommand(), a.auditCommand()}
}

func (a *app) eventCommand() *cobra.Command {
	var p client.ListEventsParams
	var number int
	c := a.Command("event [flags]", "event", func(cmd *cobra.Command, _ []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		p.Tenant, p.Limit = a.tenant, number
		if p.Follow {
			return a.followEvents(cmd.Context(), conn, p)
		}
		got, err := answer[page[model.Event]](conn.ListEvents(cmd.Context(), &p))
		if err != nil {
			return err
		}
		return list(a, got.Items, false, func(e model.Event) string { return e.Message },
			[]string{"TIME", "KIND", "OBJECT", "REASON", "MESSAGE"}, eventRow)
	})
	c.Args = a.noneOrLs()
	f := c.Flags()
	f.BoolVarP(&p.Follow, "follow", "f", false, a.say("flag.follow"))
	f.StringVar(&p.Since, "since", "", a.say("flag.since"))
	f.StringVar(&p.App, "app", "", a.say("flag.of-app"))
	f.StringVar(&p.Kind, "kind", "", a.say("flag.kind"))
	f.BoolVar(&p.Warnings, "warnings", false, a.say("flag.warnings"))
	f.IntVarP(&number, "number", "n", 50, a.say("flag.number"))
	return c
}

func eventRow(e model.Event) []string {
	return []string{e.Time.Local().Format("2006-01-02 15:04:05"), e.Kind, e.Object, e.Reason, e.Message}
}

func (a *app) followEvents(ctx context.Context, c *conn, p client.ListEventsParams) error {
	resp, err := streamed(c.ListEvents(ctx, &p, sse))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	err = events(resp.Body, func(name, data string) error {
		if name != "event" {
			return nil
		}
		if a.json {
			_, err := fmt.Fprintln(a.Stdout, data)
			return err
		}
		var e model.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("the server's answer cannot be read: %w", err)
		}
		return table(a.Stdout, [][]string{eventRow(e)})
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (a *app) auditCommand() *cobra.Command {
	var p client.ListAuditParams
	c := a.Command("audit [flags]", "audit", func(cmd *cobra.Command, _ []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		p.Tenant = a.tenant
		got, err := answer[page[client.AuditEntry]](conn.ListAudit(cmd.Context(), &p))
		if err != nil {
			return err
		}
		return list(a, got.Items, false, func(e client.AuditEntry) string { return e.Operation },
			[]string{"TIME", "WHO", "FROM", "OPERATION", "OBJECT", "REFUSED"},
			func(e client.AuditEntry) []string {
				return []string{e.Time.Local().Format("2006-01-02 15:04:05"), e.Actor, e.RemoteIP, e.Operation, e.Object, e.Refused}
			})
	})
	c.Args = a.noneOrLs()
	f := c.Flags()
	f.StringVar(&p.Actor, "actor", "", a.say("flag.actor"))
	f.StringVar(&p.Operation, "operation", "", a.say("flag.operation"))
	f.StringVar(&p.Since, "since", "", a.say("flag.since"))
	f.StringVar(&p.Until, "until", "", a.say("flag.until"))
	f.IntVarP(&p.Limit, "number", "n", 50, a.say("flag.number"))
	return c
}
