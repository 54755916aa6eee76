package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// measured is what `stats --json` prints for each container.
type measured struct {
	ContainerID string                `json:"containerId"`
	Container   string                `json:"container"`
	Stats       client.ContainerStats `json:"stats"`
}

func (a *app) statsCommands() []*cobra.Command {
	var once bool
	c := a.Command("stats [flags] [NAME...]", "stats", func(cmd *cobra.Command, args []string) error {
		return a.stats(cmd.Context(), args, once || a.json || !a.terminal)
	})
	c.Flags().BoolVar(&once, "no-stream", false, a.say("flag.no-stream"))
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames)
	return []*cobra.Command{c}
}

func (a *app) stats(ctx context.Context, words []string, once bool) error {
	chosen, err := a.chosen(ctx, words)
	if err != nil {
		return err
	}
	if once {
		all, err := a.measure(ctx, chosen)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(page[measured]{Items: all})
		}
		return table(a.Stdout, statsRows(all))
	}
	return a.liveStats(ctx, chosen)
}

// chosen are the containers that the words name, or all that run.
func (a *app) chosen(ctx context.Context, words []string) ([]model.Container, error) {
	var out []model.Container
	if len(words) == 0 {
		all, err := a.containers(ctx)
		for _, c := range all {
			if c.Status.Phase == model.PhaseRunning {
				out = append(out, c)
			}
		}
		return out, err
	}
	for _, w := range words {
		c, err := a.container(ctx, w)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// measure takes one figure of each, all at the same time.
func (a *app) measure(ctx context.Context, of []model.Container) ([]measured, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	out := make([]measured, len(of))
	errs := make([]error, len(of))
	var wg sync.WaitGroup
	for i, ct := range of {
		wg.Go(func() {
			s, err := answer[client.ContainerStats](c.ContainerStats(ctx, ct.ID, &client.ContainerStatsParams{Tenant: ct.TenantID}))
			out[i], errs[i] = measured{ct.ID, ct.Name, s}, err
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// liveStats redraws the table every second until it is interrupted.
func (a *app) liveStats(ctx context.Context, of []model.Container) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	latest := map[string]measured{}
	for _, ct := range of {
		go func() {
			resp, err := streamed(c.ContainerStats(ctx, ct.ID, &client.ContainerStatsParams{Tenant: ct.TenantID}, sse))
			if err != nil {
				return
			}
			defer resp.Body.Close()
			_ = events(resp.Body, func(_, data string) error {
				var s client.ContainerStats
				if json.Unmarshal([]byte(data), &s) == nil {
					mu.Lock()
					latest[ct.ID] = measured{ct.ID, ct.Name, s}
					mu.Unlock()
				}
				return nil
			})
			mu.Lock()
			delete(latest, ct.ID)
			mu.Unlock()
		}()
	}
	for {
		if err := pause(ctx, time.Second); err != nil {
			return nil // an interrupt is how this command ends
		}
		mu.Lock()
		var all []measured
		for _, m := range latest {
			all = append(all, m)
		}
		mu.Unlock()
		sort.Slice(all, func(i, j int) bool { return all[i].Container < all[j].Container })
		rows := statsRows(all)
		if f, ok := a.Stdout.(*os.File); ok {
			if _, h, err := term.GetSize(int(f.Fd())); err == nil && len(rows) > h-1 {
				rows = rows[:max(1, h-1)]
			}
		}
		var b strings.Builder
		b.WriteString("\x1b[H\x1b[2J")
		if err := table(&b, rows); err != nil {
			return err
		}
		fmt.Fprint(a.Stdout, b.String())
	}
}

func statsRows(all []measured) [][]string {
	rows := [][]string{{"NAME", "CPU", "MEMORY", "LIMIT", "PIDS", "NET IN", "NET OUT", "READ", "WRITTEN"}}
	for _, m := range all {
		limit := ""
		if m.Stats.MemoryLimitBytes > 0 {
			limit = size(m.Stats.MemoryLimitBytes)
		}
		rows = append(rows, []string{
			m.Container, strconv.FormatFloat(m.Stats.CPUPercent, 'f', 1, 64) + "%", size(m.Stats.MemoryBytes), limit,
			strconv.FormatInt(m.Stats.Pids, 10), size(m.Stats.NetworkRxBytes), size(m.Stats.NetworkTxBytes),
			size(m.Stats.BlockReadBytes), size(m.Stats.BlockWriteBytes),
		})
	}
	return rows
}
