package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

const (
	joinPatience = 2 * time.Minute       // until a node that joined must be ready
	joinLook     = 25 * time.Millisecond // between two looks
	// lookPatience bounds one look: the daemon starts its parts again meanwhile,
	// and a connection to the old ones may hang.
	lookPatience = 2 * time.Second
)

func (a *app) joinCommand() *cobra.Command {
	var in client.JoinInput
	var labels []string
	var dataDir, config string
	c := a.Command("join [flags] TOKEN HOST[:PORT]", "join", func(cmd *cobra.Command, args []string) (err error) {
		switch {
		case in.Rejoin && len(args) == 0:
			return a.rejoin(cmd.Context(), dataDir, config)
		case in.Rejoin:
			return usagef("%s", a.say("join.rejoin-args"))
		case len(args) == 2:
			in.Token, in.Address = args[0], args[1]
		default:
			return usagef("%s", a.say("join.args"))
		}
		if in.Labels, err = pairs(labels); err != nil {
			return usagef("--label: %w", err)
		}
		return a.join(cmd.Context(), in)
	})
	c.Args = a.between(0, 2)
	a.detachFlag(c)
	f := c.Flags()
	f.StringVar(&dataDir, "data-dir", "", a.say("flag.rejoin-data-dir"))
	f.StringVar(&config, "config", "", a.say("flag.rejoin-config"))
	f.BoolVar(&in.Worker, "worker", false, a.say("flag.join-worker"))
	f.StringVar(&in.Environment, "environment", "", a.say("flag.join-environment"))
	f.StringArrayVarP(&labels, "label", "l", nil, a.say("flag.node-label"))
	f.BoolVar(&in.Rejoin, "rejoin", false, a.say("flag.join-rejoin"))
	return c
}

// join lets the node behind the local socket join, and waits until it is ready.
func (a *app) join(ctx context.Context, in client.JoinInput) error {
	began := time.Now()
	c, err := a.here()
	if err != nil {
		return err
	}
	resp, err := c.JoinCluster(ctx, in, sse)
	got, err := work[client.JoinResult](a, resp, err)
	if err != nil {
		return err
	}
	return a.joined(ctx, c, got, began, 0)
}

// joined waits until a node that joined is ready and says so. For grace an answer
// may still come from the parts that the daemon is about to end.
func (a *app) joined(ctx context.Context, c *conn, got client.JoinResult, began time.Time, grace time.Duration) error {
	if a.detach {
		return a.one(got, a.say("join.begun", got.NodeName, got.Role))
	}
	if err := a.untilReady(ctx, c, got, grace); err != nil {
		return err
	}
	return a.one(got, a.say("join.done", got.NodeName, got.Role, time.Since(began).Round(time.Millisecond)))
}

// rejoin lets a member fetch the state anew: through its daemon, or, where that
// does not run because its copy of the state is damaged, at its next start.
func (a *app) rejoin(ctx context.Context, dataDir, config string) error {
	const grace = 5 * time.Second
	began := time.Now()
	c, err := a.here()
	if err != nil {
		return err
	}
	resp, err := c.JoinCluster(ctx, client.JoinInput{Rejoin: true}, sse)
	if err != nil && a.MarkRejoin != nil && noDaemon(err) {
		if err := a.MarkRejoin(a.runDir, dataDir, config); err != nil {
			return err
		}
		return a.one(map[string]bool{"marked": true}, a.say("join.marked"))
	}
	got, err := work[client.JoinResult](a, resp, err)
	if err != nil {
		return err
	}
	return a.joined(ctx, c, got, began, grace)
}

// noDaemon says that nobody listens at the socket.
func noDaemon(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// here is the daemon on this host, whatever cluster somebody is signed in to.
func (a *app) here() (*conn, error) { return local(filepath.Join(a.runDir, "skerry.sock")) }

// untilReady waits until the node that joined says that it is ready. Its daemon
// starts its parts again meanwhile, so that nothing answers, or something that
// does not know the cluster yet, is expected.
func (a *app) untilReady(ctx context.Context, c *conn, got client.JoinResult, grace time.Duration) error {
	p := a.newProgress()
	defer p.end()
	last := "-"
	for began := time.Now(); ; {
		look, cancel := context.WithTimeout(ctx, lookPatience)
		n, err := c.lookAt(look, got)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && n.Status.Ready && !n.Down() && time.Since(began) >= grace:
			return nil
		case err == nil:
			last = firstOf(n.Health.Reason, conditionText(n.Status.Conditions), last)
		default:
			last, grace = err.Error(), 0 // what ended has ended
		}
		if took := time.Since(began); took > joinPatience {
			return errors.New(a.say("join.slow", got.NodeName, took.Round(time.Second), last))
		}
		p.step(client.Progress{ID: got.NodeName, Step: "waiting", Message: last})
		if err := pause(ctx, joinLook); err != nil {
			return err
		}
	}
}

// lookAt asks the node behind a socket how it is. A worker knows only itself.
func (c *conn) lookAt(ctx context.Context, node client.JoinResult) (model.Node, error) {
	if node.Role != model.NodeWorker {
		return answer[model.Node](c.GetNode(ctx, node.NodeID))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+"/worker", http.NoBody)
	if err != nil {
		return model.Node{}, fmt.Errorf("ask the worker: %w", err)
	}
	st, err := answer[model.NodeStatus](c.http.Do(req))
	return model.Node{Status: st}, err
}

func conditionText(of []model.Condition) string {
	var words []string
	for _, c := range of {
		words = append(words, c.Message)
	}
	return strings.Join(words, "; ")
}

func (a *app) recoverCommand() *cobra.Command {
	var in client.RecoverInput
	var yes bool
	c := a.Command("recover [flags]", "recover", func(cmd *cobra.Command, _ []string) error {
		return a.recover(cmd.Context(), in, yes)
	})
	c.Args = a.exactly(0)
	f := c.Flags()
	f.BoolVar(&in.DryRun, "dry-run", false, a.say("flag.dry-run"))
	f.BoolVar(&in.Force, "force", false, a.say("flag.recover-force"))
	f.BoolVarP(&yes, "yes", "y", false, a.say("flag.yes"))
	return c
}

// recover says what a recovery would do, asks, and does it.
func (a *app) recover(ctx context.Context, in client.RecoverInput, yes bool) error {
	ask := !in.DryRun && !yes
	if ask && (!isTerminal(a.Stdin) || a.json) {
		return usagef("%s", a.say("recover.how"))
	}
	c, err := a.here()
	if err != nil {
		return err
	}
	if in.DryRun || ask {
		plan, err := answer[client.RecoverResult](c.RecoverCluster(ctx, client.RecoverInput{DryRun: true, Force: in.Force}))
		if err != nil {
			return err
		}
		if err := a.recovery(plan); err != nil || in.DryRun {
			return err
		}
		fmt.Fprint(a.Stderr, a.say("recover.ask"))
		var word string
		if _, err := fmt.Fscanln(a.Stdin, &word); err != nil || word != "yes" {
			return errors.New(a.say("recover.no"))
		}
	}
	began := time.Now()
	got, err := answer[client.RecoverResult](c.RecoverCluster(ctx, in))
	if err != nil {
		return err
	}
	if err := a.recovery(got); err != nil {
		return err
	}
	if err := a.untilWritable(ctx, c, began); err != nil || a.json {
		return err
	}
	fmt.Fprintln(a.Stdout, a.say("recover.writable", time.Since(began).Round(time.Millisecond)))
	return nil
}

// untilWritable waits for a leader that answers.
func (a *app) untilWritable(ctx context.Context, c *conn, began time.Time) error {
	const patience = time.Minute
	for {
		look, cancel := context.WithTimeout(ctx, lookPatience)
		err := done(c.GetCluster(look, strong))
		cancel()
		switch took := time.Since(began); {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case took > patience:
			return errors.New(a.say("recover.slow", took.Round(time.Second)))
		}
		if err := pause(ctx, 4*joinLook); err != nil {
			return err
		}
	}
}

// recovery shows what a recovery does or did.
func (a *app) recovery(r client.RecoverResult) error {
	if a.json {
		return a.printJSON(r)
	}
	fmt.Fprintln(a.Stdout, printable(r.Summary))
	rows := [][]string{{"NODE", "ADDRESS", "REACHED", "LAST ENTRY", "LOG"}}
	for _, s := range r.Survivors {
		row := []string{s.Name, s.Address, yesNo(s.Reachable), "", ""}
		if s.Reachable {
			row[3] = fmt.Sprintf("%d (term %d)", s.LastIndex, s.LastTerm)
		}
		if s.Newest {
			row[4] = a.say("recover.kept")
		}
		rows = append(rows, row)
	}
	if err := table(a.Stdout, rows); err != nil {
		return err
	}
	if err := a.details(a.say("recover.index"), fmt.Sprint(r.LastIndex), a.say("recover.generation"), fmt.Sprint(r.Generation)); err != nil {
		return err
	}
	for _, m := range r.Missing {
		fmt.Fprintln(a.Stdout, a.say("recover.missing", printable(m)))
	}
	for _, w := range r.Wipe {
		fmt.Fprintln(a.Stdout, a.say("recover.wipe", printable(w)))
	}
	return nil
}
