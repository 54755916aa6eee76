package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) containerCommands() []*cobra.Command {
	return []*cobra.Command{
		a.psCommand(), a.inspectCommand(), a.stopCommand(), a.startCommand(), a.restartCommand(),
		a.killCommand(), a.rmCommand(), a.commitCommand(),
	}
}

func (a *app) psCommand() *cobra.Command {
	var all, quiet bool
	var filters []string
	c := a.Command("ps [flags]", "ps", func(cmd *cobra.Command, _ []string) error {
		return a.ps(cmd.Context(), all, quiet, filters)
	})
	c.Args = a.exactly(0)
	f := c.Flags()
	f.BoolVarP(&all, "all", "a", false, a.say("flag.ps-all"))
	f.BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	f.StringArrayVar(&filters, "filter", nil, a.say("flag.filter"))
	return c
}

func (a *app) ps(ctx context.Context, all, quiet bool, filters []string) error {
	keep, err := containerFilter(filters)
	if err != nil {
		return err
	}
	found, err := a.containers(ctx)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(c model.Container) bool {
		live := c.Status.Phase != model.PhaseExited && c.Status.Phase != model.PhaseFailed
		return !keep(c) || !all && !live && len(filters) == 0
	})
	slices.SortStableFunc(found, func(x, y model.Container) int {
		return cmp.Or(cmp.Compare(x.AppName, y.AppName), cmp.Compare(x.ServiceName, y.ServiceName), cmp.Compare(x.Slot, y.Slot), y.CreatedAt.Compare(x.CreatedAt))
	})
	var ports map[string]string
	var nodes map[string]string
	if !a.json && !quiet && len(found) > 0 {
		ports, nodes = a.portsByService(ctx), a.nodeByID(ctx)
	}
	now := time.Now()
	return list(a, found, quiet, func(c model.Container) string { return c.Name },
		[]string{"NAME", "IMAGE", "STATUS", "PORTS", "NODE", "AGE", "ID"},
		func(c model.Container) []string {
			return []string{
				c.Name, familiar(c.Spec.Image), containerStatus(c, now), ports[c.ServiceID],
				firstOf(nodes[c.Assign.NodeID], short(c.Assign.NodeID)), age(c.CreatedAt, now), short(c.ID),
			}
		})
}

// containerFilter reads --filter KEY=VALUE; several of one key mean any.
func containerFilter(filters []string) (func(model.Container) bool, error) {
	wanted := map[string][]string{}
	for _, f := range filters {
		k, v, ok := strings.Cut(f, "=")
		if !ok || !slices.Contains([]string{"name", "status", "app", "service", "image", "node", "label"}, k) {
			return nil, usagef("--filter %s: write name, status, app, service, image, node or label, then = and a value", f)
		}
		wanted[k] = append(wanted[k], v)
	}
	return func(c model.Container) bool {
		for k, values := range wanted {
			if !slices.ContainsFunc(values, func(v string) bool { return containerFits(c, k, v) }) {
				return false
			}
		}
		return true
	}, nil
}

func containerFits(c model.Container, key, v string) bool {
	switch key {
	case "name":
		return strings.Contains(c.Name, v)
	case "status":
		return string(c.Status.Phase) == v
	case "app":
		return c.AppName == v || c.AppID == v
	case "service":
		return c.ServiceName == v || c.ServiceID == v || c.AppName+"."+c.ServiceName == v
	case "image":
		return c.Spec.Image == v || familiar(c.Spec.Image) == v || strings.Contains(c.Spec.Image, v)
	case "node":
		return c.Assign.NodeID == v
	}
	name, value, valued := strings.Cut(v, "=")
	got, ok := c.Spec.Labels[name]
	return ok && (!valued || got == value)
}

// portsByService writes each service's published ports for people.
func (a *app) portsByService(ctx context.Context) map[string]string {
	out := map[string]string{}
	all, err := a.services(ctx, "")
	if err != nil {
		return out
	}
	for _, s := range all {
		out[s.ID] = portsText(s.Ports)
	}
	return out
}

func portsText(ports []model.Port) string {
	var words []string
	for _, p := range ports {
		host := strconv.Itoa(int(p.HostPort))
		if p.HostIP.IsValid() {
			host = p.HostIP.String() + ":" + host
		}
		words = append(words, fmt.Sprintf("%s->%d/%s", host, p.Container, p.Protocol))
	}
	return strings.Join(words, ", ")
}

func (a *app) nodeByID(ctx context.Context) map[string]string {
	out := map[string]string{}
	nodes, err := a.nodes(ctx)
	if err != nil {
		return out
	}
	for _, n := range nodes {
		out[n.ID] = n.Name
	}
	return out
}

// containerStatus says in a few words how a container is.
func containerStatus(c model.Container, now time.Time) string {
	s := c.Status
	for _, cond := range s.Conditions {
		if cond.Reason == "NodeDown" {
			return "unknown: node down " + age(cond.Since, now)
		}
	}
	code := ""
	if s.ExitCode != nil {
		code = " (" + strconv.Itoa(*s.ExitCode) + ")"
	}
	if s.OOMKilled {
		code = " (out of memory)"
	}
	switch s.Phase {
	case model.PhaseRunning:
		return "running " + age(s.StartedAt, now)
	case model.PhaseExited:
		return strings.TrimSpace("exited" + code + " " + age(s.FinishedAt, now))
	case model.PhaseBackoff:
		wait := ""
		if d := s.RetryAt.Sub(now); d > 0 && !s.RetryAt.IsZero() {
			wait = " in " + strconv.Itoa(int(d.Seconds())+1) + "s"
		}
		return "restarting" + wait + code
	case model.PhaseFailed:
		for _, cond := range s.Conditions {
			return "failed: " + cond.Reason
		}
		return "failed" + code
	}
	return firstOf(string(s.Phase), "pending")
}

func (a *app) inspectCommand() *cobra.Command {
	c := a.Command("inspect NAME...", "inspect", func(cmd *cobra.Command, args []string) error {
		var all []json.RawMessage
		for _, w := range args {
			v, err := a.inspect(cmd.Context(), w)
			if err != nil {
				return err
			}
			all = append(all, v)
		}
		if len(all) == 1 {
			return a.printJSON(all[0])
		}
		return a.printJSON(all)
	})
	c.Args = a.atLeast(1)
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames, a.serviceNames, a.imageNames, a.volumeNames)
	return c
}

// inspect finds an object of any kind by its name: a container first, then an
// app, a service, a volume, an image and a node.
func (a *app) inspect(ctx context.Context, word string) (json.RawMessage, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	if word == "" {
		return nil, usagef("%s", a.say("name.empty"))
	}
	for _, get := range []func() (*http.Response, error){
		func() (*http.Response, error) {
			return c.GetContainer(ctx, word, &client.GetContainerParams{Tenant: a.tenant})
		},
		func() (*http.Response, error) { return c.GetApp(ctx, word, &client.GetAppParams{Tenant: a.tenant}) },
		func() (*http.Response, error) {
			return c.GetService(ctx, word, &client.GetServiceParams{Tenant: a.tenant})
		},
		func() (*http.Response, error) {
			return c.GetVolume(ctx, word, &client.GetVolumeParams{Tenant: a.tenant})
		},
		func() (*http.Response, error) {
			return c.GetImage(ctx, word, &client.GetImageParams{Tenant: a.tenant})
		},
		func() (*http.Response, error) { return c.GetNode(ctx, word) },
	} {
		v, err := answer[json.RawMessage](get())
		if err == nil {
			return v, nil
		}
		if s := statusOf(err); s != http.StatusNotFound && s != http.StatusForbidden && s != http.StatusBadRequest {
			return nil, err
		}
	}
	ct, err := a.container(ctx, word) // the beginning of an id
	if err != nil {
		if statusOf(err) != 0 {
			return nil, err
		}
		return nil, a.unknown("object", word, append(a.containerNames(ctx), a.appNames(ctx)...))
	}
	return answer[json.RawMessage](c.GetContainer(ctx, ct.ID, &client.GetContainerParams{Tenant: ct.TenantID}))
}

// each does one thing to every named container, at once to the replicas of a
// service or an app, and goes on after a failure; all failures are said.
func (a *app) each(ctx context.Context, words []string, do func(model.Container) (any, error)) error {
	var wrong []error
	var results []any
	for _, w := range words {
		cts, err := a.replicas(ctx, w)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		got, errs := make([]any, len(cts)), make([]error, len(cts))
		var wg sync.WaitGroup
		for i, ct := range cts {
			wg.Go(func() { got[i], errs[i] = do(ct) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			wrong = append(wrong, err)
		} else if a.json {
			results = append(results, got...)
		} else {
			fmt.Fprintln(a.Stdout, w)
		}
	}
	if a.json && len(wrong) == 0 {
		if len(results) == 1 {
			return a.printJSON(results[0])
		}
		return a.printJSON(results)
	}
	return errors.Join(wrong...)
}

// waitFor is how long a request waits: not at all with --detach.
func (a *app) waitFor() int {
	if a.detach {
		return 0
	}
	return longWait
}

func (a *app) detachFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.detach, "detach", false, a.say("flag.detach"))
}

func (a *app) stopCommand() *cobra.Command {
	var timeout, sig string
	c := a.Command("stop [flags] NAME...", "stop", func(cmd *cobra.Command, args []string) error {
		in, err := stopInput(timeout, sig)
		if err != nil {
			return err
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		return a.each(cmd.Context(), args, func(ct model.Container) (any, error) {
			return answer[model.Container](conn.StopContainer(cmd.Context(), ct.ID, &client.StopContainerParams{Tenant: ct.TenantID, Wait: a.waitFor()}, in))
		})
	})
	c.Args = a.atLeast(1)
	c.Flags().StringVarP(&timeout, "time", "t", "", a.say("flag.stop-time"))
	c.Flags().StringVarP(&sig, "signal", "s", "", a.say("flag.signal"))
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames)
	return c
}

// stopInput is what --time and --signal ask for; both may be empty.
func stopInput(timeout, sig string) (client.StopInput, error) {
	in := client.StopInput{Signal: sig}
	if timeout != "" {
		n, err := seconds(timeout)
		if err != nil {
			return in, usagef("--time %v", err)
		}
		in.GraceSeconds = &n
	}
	return in, nil
}

func (a *app) startCommand() *cobra.Command {
	c := a.Command("start [flags] NAME...", "start", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		return a.each(cmd.Context(), args, func(ct model.Container) (any, error) {
			got, err := answer[model.Container](conn.StartContainer(cmd.Context(), ct.ID, &client.StartContainerParams{Tenant: ct.TenantID, Wait: a.waitFor()}))
			return got, errors.Join(err, containerFailure(got))
		})
	})
	c.Args = a.atLeast(1)
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames)
	return c
}

// containerFailure is the sentence why a container cannot run.
func containerFailure(c model.Container) error {
	if c.Status.Phase != model.PhaseFailed {
		return nil
	}
	for _, cond := range c.Status.Conditions {
		return fmt.Errorf("%s does not run: %s", c.Name, cond.Message)
	}
	return fmt.Errorf("%s does not run: look at `skerry logs %s`", c.Name, c.Name)
}

func (a *app) restartCommand() *cobra.Command {
	var timeout string
	c := a.Command("restart [flags] NAME...", "restart", func(cmd *cobra.Command, args []string) error {
		in, err := stopInput(timeout, "")
		if err != nil {
			return err
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		return a.each(cmd.Context(), args, func(ct model.Container) (any, error) {
			got, err := answer[model.Container](conn.RestartContainer(cmd.Context(), ct.ID, &client.RestartContainerParams{Tenant: ct.TenantID, Wait: a.waitFor()}, in))
			return got, errors.Join(err, containerFailure(got))
		})
	})
	c.Args = a.atLeast(1)
	c.Flags().StringVarP(&timeout, "time", "t", "", a.say("flag.stop-time"))
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames)
	return c
}

func (a *app) killCommand() *cobra.Command {
	var sig string
	c := a.Command("kill [flags] NAME...", "kill", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		return a.each(cmd.Context(), args, func(ct model.Container) (any, error) {
			return ct, done(conn.KillContainer(cmd.Context(), ct.ID, &client.KillContainerParams{Tenant: ct.TenantID}, client.KillInput{Signal: sig}))
		})
	})
	c.Args = a.atLeast(1)
	c.Flags().StringVarP(&sig, "signal", "s", "SIGKILL", a.say("flag.signal"))
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames)
	return c
}

func (a *app) rmCommand() *cobra.Command {
	var force bool
	c := a.Command("rm [flags] NAME...", "rm", func(cmd *cobra.Command, args []string) error {
		var wrong []error
		var gone []any
		for _, w := range args {
			v, err := a.rm(cmd.Context(), w, force)
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			gone = append(gone, v)
			if !a.json {
				fmt.Fprintln(a.Stdout, w)
			}
		}
		if a.json && len(wrong) == 0 {
			if len(gone) == 1 {
				return a.printJSON(gone[0])
			}
			return a.printJSON(gone)
		}
		return errors.Join(wrong...)
	})
	c.Args = a.atLeast(1)
	c.Flags().BoolVarP(&force, "force", "f", false, a.say("flag.force"))
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames)
	return c
}

// rm removes what a word means: an app made by `skerry run` whole, with all its
// replicas or none, and otherwise one container. It gives what was removed.
func (a *app) rm(ctx context.Context, word string, force bool) (any, error) {
	conn, err := a.connect()
	if err != nil {
		return nil, err
	}
	whole, err := a.runApp(ctx, word)
	if err != nil {
		return nil, err
	}
	if whole == nil {
		ct, err := a.container(ctx, word)
		if err == nil && !meant(ct, word) {
			// The first replica of what the word means is not what a person wants removed.
			err = fmt.Errorf("%s", a.say("rm.which", word, ct.Name, ct.AppName))
		}
		if err != nil {
			return nil, err
		}
		return ct, done(conn.DeleteContainer(ctx, ct.ID, &client.DeleteContainerParams{Tenant: ct.TenantID, Force: force, Wait: a.waitFor()}))
	}
	if !force {
		cts, err := a.containersOf(ctx, *whole)
		if err != nil {
			return nil, err
		}
		for _, ct := range cts {
			if ct.Status.Phase == model.PhaseRunning {
				return nil, fmt.Errorf("%s", a.say("rm.running", ct.Name))
			}
		}
	}
	return *whole, done(conn.DeleteApp(ctx, whole.ID, &client.DeleteAppParams{Tenant: whole.TenantID, Force: force, Wait: a.waitFor()}))
}

func (a *app) commitCommand() *cobra.Command {
	var in client.CommitInput
	var noPause bool
	c := a.Command("commit [flags] NAME IMAGE", "commit", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		ct, err := a.container(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		in.Image = args[1]
		pause := !noPause
		in.Pause = &pause
		got, err := answer[client.PushResult](conn.CommitContainer(cmd.Context(), ct.ID, &client.CommitContainerParams{Tenant: ct.TenantID}, in))
		if err != nil {
			return err
		}
		return a.one(got, got.Name+" "+got.Digest)
	})
	c.Args = a.exactly(2)
	c.Flags().StringVarP(&in.Message, "message", "m", "", a.say("flag.message"))
	c.Flags().StringVar(&in.Author, "author", "", a.say("flag.author"))
	c.Flags().BoolVar(&noPause, "no-pause", false, a.say("flag.no-pause"))
	c.ValidArgsFunction = a.complete(a.containerNames)
	return c
}
