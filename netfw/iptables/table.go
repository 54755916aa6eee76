// Package iptables brings this host's packet filter to what netfw/rules rendered, and keeps it there.
//
// It owns every chain and set whose name begins with rules.Prefix or rules.SetPrefix and the jumps to them, in the
// network namespace it was made in. It never touches another rule: those of Docker, firewalld, ufw and the admin stay
// byte for byte. The agent calls Apply for every change, Drifted and Repair on a timer, and Remove when the node goes.
//
// A change costs what it changes: facts about containers are set entries (one netlink message each, no process), a
// published port is one small chain, and an unchanged Desired costs a rendering and a comparison. Every table of a
// change is one atomic step, so no packet ever meets half of it.
//
// Methods may be called from any goroutine; they run one after the other. The commands run in the network namespace
// of the calling thread, which must be the one New ran in (for the daemon: the only one there is).
package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goiptables "github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/rules"
)

// Config says which iptables to use and how.
type Config struct {
	Command string        // path or name; empty: "iptables", the back end that the host itself uses
	Wait    time.Duration // for the lock that legacy iptables commands share; whole seconds, zero: 5 s
	Log     *slog.Logger
}

// Table is this host's packet filter as far as it is ours.
type Table struct {
	command string
	wait    string
	log     *slog.Logger
	ipt     *goiptables.IPTables
	nl      *netlink.Handle
	raw     map[int]*nl.SocketHandle // for what netlink.Handle does not offer

	mu      sync.Mutex
	known   bool                  // applied says what the kernel holds; guarded by mu
	applied rules.Ruleset         // guarded by mu
	desired rules.Desired         // guarded by mu
	sets    map[string]setMembers // what the kernel's sets hold; guarded by mu
}

// Change is what an Apply did.
type Change struct {
	Chains      int  // rewritten or removed
	SetEntries  int  // added or removed
	Connections uint // conntrack entries deleted, because what they led to changed
}

// New finds the iptables command and the kernel's sets. It changes nothing.
func New(cfg Config) (*Table, error) {
	if cfg.Log == nil {
		return nil, errors.New("iptables: no logger given")
	}
	if cfg.Command == "" {
		cfg.Command = "iptables"
	}
	if cfg.Wait == 0 {
		cfg.Wait = 5 * time.Second
	}
	path, err := exec.LookPath(cfg.Command)
	if err != nil {
		return nil, fmt.Errorf("find the iptables command (install the package iptables): %w", err)
	}
	for _, suffix := range []string{"-save", "-restore"} {
		if _, err := exec.LookPath(path + suffix); err != nil {
			return nil, fmt.Errorf("find %s%s beside the iptables command: %w", path, suffix, err)
		}
	}
	seconds := max(1, int(cfg.Wait/time.Second))
	ipt, err := goiptables.New(goiptables.Path(path), goiptables.Timeout(seconds))
	if err != nil {
		return nil, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	handle, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netfilter netlink socket: %w", err)
	}
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_NETFILTER)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("open netfilter netlink socket: %w", err)
	}
	t := &Table{command: path, wait: strconv.Itoa(seconds), log: cfg.Log, ipt: ipt, nl: handle,
		raw: map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: socket}}}
	if _, err := t.readSets(); err != nil {
		t.Close()
		return nil, fmt.Errorf("the kernel has no ipset support (module ip_set): %w", err)
	}
	return t, nil
}

// Close gives the netlink sockets back. The rules stay.
func (t *Table) Close() {
	t.nl.Close()
	for _, s := range t.raw {
		s.Close()
	}
}

// Apply makes the kernel hold d. It is idempotent, and after an error the next call starts from what the kernel
// really holds. The first call after New adopts what an earlier process left and rewrites only what differs.
func (t *Table) Apply(ctx context.Context, d rules.Desired) (Change, error) {
	want, err := rules.Render(d)
	if err != nil {
		return Change{}, fmt.Errorf("render rules: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.apply(ctx, d, want)
}

func (t *Table) apply(ctx context.Context, d rules.Desired, want rules.Ruleset) (Change, error) {
	adopted := !t.known
	change, err := t.load(ctx, want)
	if err != nil && t.known {
		// Someone may have removed a chain that the small change relied on: look at the kernel and do it whole.
		t.log.WarnContext(ctx, "incremental rules refused, rewriting from the kernel's state", "error", err)
		t.known = false
		change, err = t.load(ctx, want)
	}
	if err != nil {
		t.known = false
		return change, err
	}
	before := t.desired
	t.applied, t.desired, t.known = want, d, true
	if adopted || leavesStale(before, d) {
		if change.Connections, err = t.forget(d); err != nil {
			return change, fmt.Errorf("delete stale connections: %w", err)
		}
	}
	return change, nil
}

// load brings sets and chains to want. Sets grow before the rules that use them and shrink after.
func (t *Table) load(ctx context.Context, want rules.Ruleset) (Change, error) {
	var change Change
	var text string
	var err error
	if t.known {
		text, change.Chains = diff(t.applied, want)
	} else {
		var found kernelTables
		if found, err = t.save(ctx); err != nil {
			return change, err
		}
		if t.sets, err = t.readSets(); err != nil {
			return change, err
		}
		text, change.Chains = found.repair(want)
	}
	grown, err := t.growSets(want.Sets)
	change.SetEntries = grown
	if err != nil {
		return change, err
	}
	if text != "" {
		if err := t.restore(ctx, text); err != nil {
			return change, err
		}
	}
	shrunk, err := t.shrinkSets(want.Sets)
	change.SetEntries += shrunk
	return change, err
}

// Drifted says, one sentence each, where the kernel differs from the last Apply. Empty means nowhere. Before the
// first Apply there is nothing to differ from.
func (t *Table) Drifted(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known {
		return nil, nil
	}
	found, err := t.save(ctx)
	if err != nil {
		return nil, err
	}
	sets, err := t.readSets()
	if err != nil {
		return nil, err
	}
	return append(found.drift(t.applied), driftOfSets(sets, t.applied.Sets)...), nil
}

// Repair puts back what Drifted names, and returns those sentences. Without drift it changes nothing.
func (t *Table) Repair(ctx context.Context) ([]string, error) {
	drift, err := t.Drifted(ctx)
	if err != nil || len(drift) == 0 {
		return drift, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known {
		return nil, nil // an Apply failed in between; the next one reads the kernel anyway
	}
	t.known = false
	t.log.WarnContext(ctx, "packet filter rules were changed by someone else, repairing", "drift", drift)
	if _, err := t.apply(ctx, t.desired, t.applied); err != nil {
		return drift, fmt.Errorf("repair rules: %w", err)
	}
	return drift, nil
}

// Remove takes every chain, jump and set of ours out of the kernel, also those of an earlier process. Calling it when
// there is nothing left is free.
func (t *Table) Remove(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = false
	for _, h := range rules.Hooks() {
		// A jump to a chain that does not exist cannot exist either, and asking for it is an error to iptables.
		exists, err := t.ipt.ChainExists(h.Table, h.Chain)
		if err != nil {
			return fmt.Errorf("look for chain %s: %w", h.Chain, err)
		}
		for exists {
			if exists, err = t.ipt.Exists(h.Table, h.Builtin, "-j", h.Chain); err != nil {
				return fmt.Errorf("look for the jump from %s to %s: %w", h.Builtin, h.Chain, err)
			}
			if !exists {
				break
			}
			if err := t.ipt.Delete(h.Table, h.Builtin, "-j", h.Chain); err != nil {
				return fmt.Errorf("remove the jump from %s to %s: %w", h.Builtin, h.Chain, err)
			}
		}
	}
	found, err := t.save(ctx)
	if err != nil {
		return err
	}
	text, _ := found.repair(rules.Ruleset{})
	if text != "" {
		if err := t.restore(ctx, text); err != nil {
			return fmt.Errorf("remove chains: %w", err)
		}
	}
	if t.sets, err = t.readSets(); err != nil {
		return err
	}
	if err := t.removeSets(ctx); err != nil {
		return err
	}
	last := t.desired
	last.Endpoints, last.Remotes, last.Ports = nil, nil, nil
	t.desired, t.applied = rules.Desired{}, rules.Ruleset{}
	if last.Pool.IsValid() {
		_, err = t.forget(last)
	}
	return err
}

// removeSets removes all, and waits for the kernel to let go of those that rules used a moment ago.
func (t *Table) removeSets(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if _, err := t.shrinkSets(nil); err != nil {
			return err
		}
		if len(t.sets) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove sets: %d are still used by somebody's rules: %w", len(t.sets), ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (t *Table) save(ctx context.Context) (kernelTables, error) {
	out, err := t.run(ctx, "-save", "")
	if err != nil {
		return nil, fmt.Errorf("read the kernel's rules: %w", err)
	}
	return parseSave(out), nil
}

func (t *Table) restore(ctx context.Context, text string) error {
	if _, err := t.run(ctx, "-restore", text, "--noflush", "-w", t.wait); err != nil {
		return fmt.Errorf("load rules: %w", err)
	}
	return nil
}

// run starts the sibling of the iptables command on the calling thread, so in its network namespace.
func (t *Table) run(ctx context.Context, suffix, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, t.command+suffix, args...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s%s: %w: %s", t.command, suffix, err, firstLines(stderr.String(), input))
	}
	return stdout.String(), nil
}

// firstLines shortens what the command complained about and, where it names a line, adds that line.
func firstLines(complaint, input string) string {
	lines := strings.Split(strings.TrimSpace(complaint), "\n")
	lines = lines[:min(len(lines), 3)]
	text := strings.Join(lines, "; ")
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ':' || r == ';' })
	if i := slices.Index(words, "line"); i >= 0 && i+1 < len(words) {
		all := strings.Split(input, "\n")
		if n, err := strconv.Atoi(words[i+1]); err == nil && n >= 1 && n <= len(all) {
			text += fmt.Sprintf(" (%q)", all[n-1])
		}
	}
	return text
}
