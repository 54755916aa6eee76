package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) nodes(ctx context.Context) ([]model.Node, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[model.Node](func(cursor string) (*http.Response, error) {
		return c.ListNodes(ctx, &client.ListNodesParams{Cursor: cursor, Limit: 1000})
	})
}

func (a *app) nodeCommand() *cobra.Command {
	ls := a.Command("ls", "node.ls", func(cmd *cobra.Command, _ []string) error { return a.nodeLs(cmd.Context()) })
	ls.Args = a.exactly(0)
	inspect := a.Command("inspect NAME", "node.inspect", func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		n, err := answer[json.RawMessage](c.GetNode(cmd.Context(), args[0]))
		if err != nil {
			return a.noNode(cmd.Context(), err, args[0])
		}
		return a.printJSON(n)
	})
	inspect.Args = a.exactly(1)
	inspect.ValidArgsFunction = a.complete(a.nodeNames)
	drain := a.eachNode("drain [flags] NAME...", "node.drain", a.drainNode)
	a.detachFlag(drain)
	plain := func(call func(*conn, context.Context, string) (*http.Response, error)) func(context.Context, *conn, string) (any, string, error) {
		return func(ctx context.Context, c *conn, name string) (any, string, error) {
			n, err := answer[model.Node](call(c, ctx, name))
			return n, n.Name, err
		}
	}
	force := false
	rm := a.eachNode("rm [flags] NAME...", "node.rm", func(ctx context.Context, c *conn, name string) (any, string, error) {
		return nil, name, done(c.DeleteNode(ctx, name, &client.DeleteNodeParams{Force: force}))
	})
	rm.Flags().BoolVarP(&force, "force", "f", false, a.say("flag.node-force"))
	return a.group("node", "node", ls, inspect, drain,
		a.eachNode("activate NAME...", "node.activate", plain(func(c *conn, ctx context.Context, n string) (*http.Response, error) { return c.ActivateNode(ctx, n) })),
		a.eachNode("promote NAME...", "node.promote", plain(func(c *conn, ctx context.Context, n string) (*http.Response, error) { return c.PromoteNode(ctx, n) })),
		a.eachNode("demote NAME...", "node.demote", plain(func(c *conn, ctx context.Context, n string) (*http.Response, error) { return c.DemoteNode(ctx, n) })),
		rm, a.nodeLabelCommand())
}

// eachNode makes a command that does something to each node that it names.
func (a *app) eachNode(use, key string, do func(context.Context, *conn, string) (any, string, error)) *cobra.Command {
	c := a.Command(use, key, func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		var wrong []error
		for _, name := range args {
			got, words, err := do(cmd.Context(), conn, name)
			switch {
			case err != nil:
				wrong = append(wrong, a.noNode(cmd.Context(), err, name))
			case !a.json:
				fmt.Fprintln(a.Stdout, words)
			case got != nil:
				if err := a.printJSON(got); err != nil {
					return err
				}
			}
		}
		return errors.Join(wrong...)
	})
	c.Args = a.atLeast(1)
	c.ValidArgsFunction = a.complete(a.nodeNames)
	return c
}

func (a *app) noNode(ctx context.Context, err error, name string) error {
	return a.named(err, "node", name, func() []string { return a.nodeNames(ctx) })
}

// drainNode drains a node and waits until nothing that can move is left.
func (a *app) drainNode(ctx context.Context, c *conn, name string) (any, string, error) {
	if a.detach {
		d, err := answer[client.NodeDrain](c.DrainNode(ctx, name, &client.DrainNodeParams{}))
		return d, a.say("drain.begun", name, d.Left), err
	}
	for {
		resp, err := c.DrainNode(ctx, name, &client.DrainNodeParams{Wait: longWait}, sse)
		d, err := work[client.NodeDrain](a, resp, err)
		if err != nil {
			return nil, "", err
		}
		if !d.Done { // the server waits no longer than that at once
			if err := pause(ctx, time.Second); err != nil {
				return nil, "", err
			}
			continue
		}
		words := []string{a.say("drain.done", name)}
		if d.Left > 0 {
			words[0] = a.say("drain.stay", name, d.Left)
		}
		for _, w := range d.Waiting {
			words = append(words, a.say("drain.left", w.Container, w.Reason))
		}
		return d, strings.Join(words, "\n"), nil
	}
}

func (a *app) nodeLabelCommand() *cobra.Command {
	c := a.Command("label NAME LABEL=VALUE|LABEL-...", "node.label", func(cmd *cobra.Command, args []string) error {
		set, drop := map[string]string{}, []string{}
		for _, word := range args[1:] {
			name, value, ok := strings.Cut(word, "=")
			switch gone, minus := strings.CutSuffix(word, "-"); {
			case ok && name != "":
				set[name] = value
			case !ok && minus && gone != "":
				drop = append(drop, gone)
			default:
				return usagef("%s", a.say("label.how", word))
			}
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		n, err := answer[model.Node](conn.GetNode(cmd.Context(), args[0]))
		if err != nil {
			return a.noNode(cmd.Context(), err, args[0])
		}
		labels := map[string]string{}
		for k, v := range n.Spec.Labels {
			labels[k] = v
		}
		for _, k := range drop {
			delete(labels, k)
		}
		for k, v := range set {
			labels[k] = v
		}
		n.Spec.Labels = labels
		got, err := answer[model.Node](conn.UpdateNode(cmd.Context(), n.ID, &client.UpdateNodeParams{IfMatch: strconv.Quote(strconv.FormatUint(n.Version, 10))}, n.Spec))
		if err != nil {
			return err
		}
		return a.one(got, got.Name)
	})
	c.Args = a.atLeast(2)
	c.ValidArgsFunction = a.complete(a.nodeNames)
	return c
}

// nodeLs lists nodes with what the status knows of them: load, votes, and why a
// node is not ready. Where there is no status, that is left out.
func (a *app) nodeLs(ctx context.Context) error {
	all, err := a.nodes(ctx)
	if err != nil {
		return err
	}
	var s client.Status
	if c, err := a.connect(); err == nil && !a.json {
		s, _ = answer[client.Status](c.GetStatus(ctx, &client.GetStatusParams{}))
	}
	of := map[string]client.StatusNode{}
	for _, n := range s.Nodes {
		of[n.ID] = n
	}
	now := time.Now()
	return list(a, all, false, func(n model.Node) string { return n.Name },
		[]string{"NAME", "ROLE", "HEALTH", "AVAILABILITY", "CPU", "MEMORY", "CONTAINERS", "ADDRESS", "VERSION", "AGE", "WHY"},
		func(n model.Node) []string {
			x := of[n.ID]
			cpu, mem, count := load(x)
			if cpu == "" {
				cpu, mem = strconv.Itoa(n.Status.CPUs), size(n.Status.MemoryBytes)
			}
			return []string{n.Name, roleText(&n, s.Quorum), a.healthText(&n), string(firstAvailability(n.Spec.Availability)), cpu, mem, count,
				n.Status.Address, n.Status.SkerryVersion, age(n.CreatedAt, now), firstOf(n.Health.Reason, x.Reason)}
		})
}

func firstAvailability(v model.Availability) model.Availability {
	if v == "" {
		return model.NodeActive
	}
	return v
}

// load is what a node uses; empty where it did not say.
func load(n client.StatusNode) (cpu, memory, running string) {
	if n.Stats == nil {
		return "", "", ""
	}
	return fmt.Sprintf("%.0f%% of %d", n.Stats.CPUPercent, n.Cpus), size(n.Stats.MemoryUsedBytes) + " / " + size(n.Stats.MemoryTotalBytes), strconv.Itoa(n.Stats.ContainersRunning)
}

// roleText is a node's role, with its part in the quorum where that is known.
func roleText(n *model.Node, q *client.Quorum) string {
	if !n.Member() {
		return string(model.NodeWorker)
	}
	role := string(model.NodeMember)
	if q == nil {
		return role
	}
	for _, m := range q.Members {
		switch {
		case m.NodeID != n.ID:
		case m.Leader:
			return role + " (leader)"
		case m.Part == client.QuorumMemberPartVoter || m.Part == client.QuorumMemberPartStandby:
			return role + " (" + string(m.Part) + ")"
		}
	}
	return role
}

func (a *app) healthText(n *model.Node) string {
	switch {
	case n.Down():
		return a.say("node.health.down")
	case n.Status.Ready:
		return a.say("node.health.ready")
	}
	return a.say("node.health.not-ready")
}
