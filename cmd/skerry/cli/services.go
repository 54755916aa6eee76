package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/appliance/compose"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) services(ctx context.Context, of string) ([]model.Service, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[model.Service](func(cursor string) (*http.Response, error) {
		return c.ListServices(ctx, &client.ListServicesParams{Tenant: a.tenant, App: of, Cursor: cursor, Limit: 1000})
	})
}

// service finds a service by id, `app.service`, or a name that only one has;
// the name of an app with one service means that one.
func (a *app) service(ctx context.Context, word string) (model.Service, error) {
	c, err := a.connect()
	if err != nil {
		return model.Service{}, err
	}
	if word == "" {
		return model.Service{}, usagef("%s", a.say("name.empty"))
	}
	got, err := answer[model.Service](c.GetService(ctx, strings.Replace(word, "/", ".", 1), &client.GetServiceParams{Tenant: a.tenant}))
	if statusOf(err) != http.StatusNotFound {
		return got, err
	}
	all, lerr := a.services(ctx, "")
	if lerr != nil {
		return got, lerr
	}
	var names []string
	var ofApp []model.Service
	for _, s := range all {
		names = append(names, s.AppName+"."+s.Name)
		if s.AppName == word {
			ofApp = append(ofApp, s)
		}
	}
	if len(ofApp) == 1 {
		return ofApp[0], nil
	}
	return got, a.unknown("service", word, names)
}

func (a *app) serviceCommands() []*cobra.Command {
	ls := a.serviceLsCommand()
	inspect := a.Command("inspect NAME", "service.inspect", func(cmd *cobra.Command, args []string) error {
		s, err := a.service(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.printJSON(s)
	})
	inspect.Args = a.exactly(1)
	inspect.ValidArgsFunction = a.complete(a.serviceNames)
	return []*cobra.Command{a.group("service", "service", ls, a.servicePsCommand(), inspect, a.serviceScaleCommand(), a.serviceUpdateCommand(), a.serviceLogsCommand())}
}

func (a *app) serviceLsCommand() *cobra.Command {
	var quiet bool
	var of string
	c := a.Command("ls [flags]", "service.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.services(cmd.Context(), of)
		if err != nil {
			return err
		}
		now := time.Now()
		return list(a, all, quiet, func(s model.Service) string { return s.AppName + "." + s.Name },
			[]string{"NAME", "IMAGE", "RUNNING", "PORTS", "REVISION", "AGE"},
			func(s model.Service) []string {
				return []string{s.AppName + "." + s.Name, familiar(s.Spec.Container.Image), fmt.Sprintf("%d/%d", s.Status.Running, s.Spec.Replicas),
					portsText(s.Ports), strconv.FormatUint(s.Revision, 10), age(s.CreatedAt, now)}
			})
	})
	c.Args = a.exactly(0)
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	c.Flags().StringVar(&of, "app", "", a.say("flag.of-app"))
	return c
}

// servicePsCommand lists the replicas of a service with the reason for where
// each of them is, or why it is nowhere.
func (a *app) servicePsCommand() *cobra.Command {
	c := a.Command("ps NAME", "service.ps", func(cmd *cobra.Command, args []string) error {
		s, err := a.service(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		all, err := pages[model.Container](func(cursor string) (*http.Response, error) {
			return conn.ListContainers(cmd.Context(), &client.ListContainersParams{Tenant: s.TenantID, App: s.AppID, Cursor: cursor, Limit: 1000})
		})
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(c model.Container) bool { return c.ServiceID != s.ID })
		slices.SortStableFunc(all, func(x, y model.Container) int { return x.Slot - y.Slot })
		var nodes map[string]string
		if !a.json {
			nodes = a.nodeByID(cmd.Context())
		}
		now := time.Now()
		return list(a, all, false, func(c model.Container) string { return c.Name },
			[]string{"NAME", "STATUS", "NODE", "REASON"},
			func(c model.Container) []string {
				return []string{c.Name, containerStatus(c, now), firstOf(nodes[c.Assign.NodeID], short(c.Assign.NodeID)),
					firstOf(conditionText(c.Status.Conditions), c.Assign.Reason)}
			})
	})
	c.Args = a.exactly(1)
	c.ValidArgsFunction = a.complete(a.serviceNames)
	return c
}

func (a *app) serviceScaleCommand() *cobra.Command {
	c := a.Command("scale [flags] NAME=REPLICAS...", "service.scale", func(cmd *cobra.Command, args []string) error {
		type job struct {
			word string
			n    int
		}
		var jobs []job
		for _, arg := range args {
			word, count, ok := strings.Cut(arg, "=")
			n, err := strconv.Atoi(count)
			if !ok || word == "" || err != nil || n < 0 || n > compose.MaxReplicas {
				return usagef("%s", a.say("scale.how", arg, compose.MaxReplicas))
			}
			jobs = append(jobs, job{word, n})
		}
		var wrong []error
		var got []model.Service
		for _, j := range jobs {
			s, err := a.updateService(cmd.Context(), j.word, client.ServiceUpdate{Replicas: &j.n})
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			got = append(got, s)
			if !a.json {
				fmt.Fprintln(a.Stdout, serviceWords(a, s))
			}
		}
		if a.json && len(wrong) == 0 {
			if len(got) == 1 {
				return a.printJSON(got[0])
			}
			return a.printJSON(page[model.Service]{Items: got})
		}
		return errors.Join(wrong...)
	})
	c.Args = a.atLeast(1)
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(func(ctx context.Context) []string {
		var out []string
		for _, n := range a.serviceNames(ctx) {
			out = append(out, n+"=")
		}
		return out
	})
	return c
}

func serviceWords(a *app, s model.Service) string {
	words := a.say("service.line", s.AppName+"."+s.Name, s.Status.Running, s.Spec.Replicas)
	if p := portsText(s.Ports); p != "" {
		words += "  " + p
	}
	return words
}

func (a *app) updateService(ctx context.Context, word string, u client.ServiceUpdate) (model.Service, error) {
	c, err := a.connect()
	if err != nil {
		return model.Service{}, err
	}
	s, err := a.service(ctx, word)
	if err != nil {
		return s, err
	}
	p := &client.UpdateServiceParams{Tenant: s.TenantID, Wait: a.waitFor()}
	if u.Container != nil {
		p.IfMatch = strconv.Quote(strconv.FormatUint(s.Version, 10)) // the whole spec is written: nobody may have changed it since
	}
	return answer[model.Service](c.UpdateService(ctx, s.ID, p, u))
}

// updateFlags are the flags of `service update`.
type updateFlags struct {
	specFlags
	image string
	envRm []string
}

func (a *app) serviceUpdateCommand() *cobra.Command {
	u := &updateFlags{}
	c := a.Command("update [flags] NAME", "service.update", func(cmd *cobra.Command, args []string) error {
		changed := cmd.Flags().Changed
		s, err := a.service(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		in, err := u.update(a, s, changed)
		if err != nil {
			return err
		}
		got, err := a.updateService(cmd.Context(), s.ID, in)
		if err != nil {
			return err
		}
		return a.one(got, serviceWords(a, got))
	})
	c.Args = a.exactly(1)
	f := c.Flags()
	f.StringVar(&u.image, "image", "", a.say("flag.image"))
	f.StringArrayVarP(&u.env, "env", "e", nil, a.say("flag.env"))
	f.StringArrayVar(&u.envRm, "env-rm", nil, a.say("flag.env-rm"))
	f.StringArrayVarP(&u.ports, "publish", "p", nil, a.say("flag.update-publish"))
	f.IntVar(&u.replicas, "replicas", 1, a.say("flag.replicas"))
	f.StringVar(&u.cpus, "cpus", "", a.say("flag.cpus"))
	f.StringVarP(&u.memory, "memory", "m", "", a.say("flag.memory"))
	f.StringVar(&u.restart, "restart", "no", a.say("flag.restart"))
	a.detachFlag(c)
	c.ValidArgsFunction = a.complete(a.serviceNames)
	return c
}

// update makes the change that the flags ask for.
func (u *updateFlags) update(a *app, s model.Service, changed func(string) bool) (client.ServiceUpdate, error) {
	var in client.ServiceUpdate
	if changed("replicas") {
		if u.replicas < 0 || u.replicas > compose.MaxReplicas {
			return in, usagef("--replicas %d: write a number from 0 to %d", u.replicas, compose.MaxReplicas)
		}
		in.Replicas = &u.replicas
	}
	if changed("image") {
		in.Image = u.image
	}
	if changed("publish") {
		ports := []model.PortSpec{}
		for _, p := range u.ports {
			if p == "" {
				continue // -p "" publishes nothing
			}
			more, err := compose.ParsePorts(p)
			if err != nil {
				return in, usagef("--publish: %w", err)
			}
			ports = append(ports, more...)
		}
		in.Ports = &ports
	}
	if changed("env") || changed("env-rm") || changed("cpus") || changed("memory") || changed("restart") {
		c, err := u.container(a, s.Spec.Container, changed)
		if err != nil {
			return in, err
		}
		in.Container = &c
		if in.Image != "" {
			in.Container.Image, in.Container.ImageDigest = in.Image, ""
			in.Image = ""
		}
	}
	if in.Replicas == nil && in.Image == "" && in.Ports == nil && in.Container == nil {
		return in, usagef("%s", a.say("update.nothing"))
	}
	return in, nil
}

func (u *updateFlags) container(a *app, c model.ContainerSpec, changed func(string) bool) (model.ContainerSpec, error) {
	c.Env = slices.Clone(c.Env)
	c.Env = slices.DeleteFunc(c.Env, func(e model.EnvVar) bool { return slices.Contains(u.envRm, e.Name) })
	for _, e := range u.env {
		setEnv(e, a.Env, func(name, value string) {
			if i := slices.IndexFunc(c.Env, func(v model.EnvVar) bool { return v.Name == name }); i >= 0 {
				c.Env[i].Value = value
				return
			}
			c.Env = append(c.Env, model.EnvVar{Name: name, Value: value})
		})
	}
	var err error
	if changed("cpus") {
		c.CPUMillis = 0
		if u.cpus != "0" && u.cpus != "" {
			if c.CPUMillis, err = compose.ParseCPUs(u.cpus); err != nil {
				return c, usagef("--cpus: %w", err)
			}
		}
	}
	if changed("memory") {
		c.MemoryBytes = 0
		if u.memory != "0" && u.memory != "" {
			if c.MemoryBytes, err = compose.ParseMemory(u.memory); err != nil {
				return c, usagef("--memory: %w", err)
			}
		}
	}
	if changed("restart") {
		if c.Restart, c.RestartMax, err = compose.ParseRestart(u.restart); err != nil {
			return c, usagef("--restart: %w", err)
		}
	}
	return c, nil
}

func (a *app) serviceLogsCommand() *cobra.Command {
	var o logFlags
	c := a.Command("logs [flags] NAME", "service.logs", func(cmd *cobra.Command, args []string) error {
		q, err := o.query()
		if err != nil {
			return err
		}
		s, err := a.service(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		conn, err := a.connect()
		if err != nil {
			return err
		}
		l := newLogReader(a, a.Stdout, a.Stderr)
		l.timestamps, l.prefix = o.timestamps, true
		p := client.ServiceLogsParams(q)
		p.Tenant, p.Timestamps = s.TenantID, false
		resp, err := streamed(conn.ServiceLogs(cmd.Context(), s.ID, &p, sse))
		if err != nil {
			return err
		}
		return l.read(resp, nil, time.Time{})
	})
	c.Args = a.exactly(1)
	o.add(a, c)
	c.ValidArgsFunction = a.complete(a.serviceNames)
	return c
}
