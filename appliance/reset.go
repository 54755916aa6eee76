package appliance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/supervise"
	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/netfw/overlay"
	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/workload"
)

// endGrace is how long containers may take to end when the whole node ends.
const endGrace = 3 * time.Second

// teardown ends everything that this node started: containers, processes,
// namespaces, rules, mounts. What is stored stays.
func (a *Appliance) teardown(ctx context.Context, p *parts) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	a.log.Info("ending everything that this node started")
	if err := noteEnd(a.cfg.DataDir, time.Now()); err != nil {
		a.log.Warn("containers may not start again by themselves with the next start", "err", err)
	}
	if p.containers != nil {
		endContainers(ctx, p, a.log)
	}
	return clearHost(ctx, a.cfg, p.identity, a.log)
}

// endFile says when the node last ended its containers with itself.
const endFile = "ended"

// noteEnd writes down that from now on containers end because the node does, so
// that the next start begins them again whatever their restart policy says.
func noteEnd(dataDir string, now time.Time) error {
	if err := os.WriteFile(filepath.Join(dataDir, endFile), []byte(now.UTC().Format(time.RFC3339Nano)), 0o600); err != nil {
		return fmt.Errorf("note the end of the node: %w", err)
	}
	return nil
}

// endedAt reads what noteEnd wrote; zero if there is nothing.
func endedAt(dataDir string) time.Time {
	b, err := os.ReadFile(filepath.Join(dataDir, endFile))
	if err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return time.Time{}
	}
	return t
}

// endContainers ends the tasks of all containers, all at once. Their records
// and layers stay.
func endContainers(ctx context.Context, p *parts, log *slog.Logger) {
	states, err := p.containers.List(ctx)
	if err != nil {
		log.Warn("cannot list containers; their processes are ended by cgroup", "err", err)
		return
	}
	var wg sync.WaitGroup
	for _, s := range states {
		if s.Phase != workload.PhaseRunning && s.Phase != workload.PhasePaused {
			continue
		}
		wg.Go(func() {
			if _, err := p.containers.Stop(ctx, s.ID, workload.StopOptions{Grace: endGrace}); err != nil {
				log.Warn("cannot end a container; its processes are ended by cgroup", "container", s.ID, "err", err)
			}
		})
	}
	wg.Wait()
}

// clearHost takes back what the node made on the host, whatever state it is in:
// it works after a crash, and twice. It needs no engine.
func clearHost(ctx context.Context, cfg config.Config, id identity, log *slog.Logger) error {
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	killGroup := func() { note("end the containers' processes", killCgroups(id.cgroup())) }
	killGroup()
	if parent, err := supervise.Connect(ctx, cfg.RunDir, cfg.DataDir); err == nil {
		note("end the node's processes", parent.Shutdown(ctx))
	} else if !errors.Is(err, supervise.ErrNoParent) {
		note("reach the process parent", err)
	}
	note("end left over processes", killByRunDir(cfg.RunDir))
	killGroup()

	links, err := link.New(link.Config{Dir: filepath.Join(cfg.RunDir, "netns")})
	if err != nil {
		errs = append(errs, err)
	} else {
		defer links.Close()
		present, err := links.List()
		note("list namespaces", err)
		for _, id := range present.IDs {
			note("remove namespace", links.Remove(ctx, id))
		}
		for _, v := range present.Veths {
			if err := links.RemoveVeth(v); err != nil && !errors.Is(err, fs.ErrNotExist) {
				log.Debug("interface already gone", "interface", v, "err", err)
			}
		}
		note("take back the host's addresses", links.RemoveHost(false))
	}
	if between, err := overlay.New(overlay.Config{Dir: cfg.RunDir, Port: cfg.OverlayPort, Log: log}); err != nil {
		errs = append(errs, err)
	} else {
		note("take back the routes to other nodes", between.Remove())
		between.Close()
	}
	if table, err := iptables.New(iptables.Config{Log: log}); err != nil {
		errs = append(errs, err)
	} else {
		note("remove the packet filter rules", table.Remove(ctx))
		table.Close()
	}
	note("unmount", unmountBelow(cfg.RunDir, filepath.Join(cfg.DataDir, "engine")))
	note("remove cgroups", removeCgroups(id.cgroup()))
	note("clean the engine", engine.Config{Root: filepath.Join(cfg.DataDir, "engine"), RunDir: cfg.RunDir, BinDir: cfg.EngineDir}.Clean())
	note("remove "+cfg.RunDir, removeContents(cfg.RunDir))
	return errors.Join(errs...)
}

// Reset ends everything of this node on this host, the daemon included. With
// data it also deletes what is stored: containers, images, volumes, the state.
// report hears what is being done.
func Reset(ctx context.Context, cfg config.Config, data bool, log *slog.Logger, report func(string)) error {
	cfg, err := cfg.Resolve()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("reset needs root")
	}
	if err := endDaemon(ctx, cfg, report); err != nil {
		return err
	}
	report("ending containers, processes, namespaces, rules and mounts")
	id, err := readIdentity(cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // never started; the run dir may still hold something
	}
	if err != nil && !data {
		return err
	}
	if !data && id.ID != "" {
		if err := noteEnd(cfg.DataDir, time.Now()); err != nil {
			return err
		}
	}
	if err := clearHost(ctx, cfg, id, log); err != nil {
		return err
	}
	if data {
		report("deleting " + cfg.DataDir)
		if err := os.RemoveAll(cfg.DataDir); err != nil {
			return fmt.Errorf("delete the data: %w", err)
		}
	}
	return nil
}

// endDaemon asks the daemon that holds the data directory to end, and waits.
func endDaemon(ctx context.Context, cfg config.Config, report func(string)) error {
	f, err := os.OpenFile(filepath.Join(cfg.RunDir, "daemon.lock"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the daemon: %w", err)
	}
	defer f.Close()
	told := false
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !told {
			b, _ := os.ReadFile(f.Name())
			pid, perr := strconv.Atoi(strings.TrimSpace(string(b)))
			if perr != nil || pid <= 1 {
				return fmt.Errorf("a daemon holds %s, but its pid is not known: end it first", cfg.RunDir)
			}
			report(fmt.Sprintf("ending the daemon (pid %d)", pid))
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return fmt.Errorf("end the daemon: %w", err)
			}
			told = true
		}
		select {
		case <-ctx.Done():
			return errors.New("the daemon does not end")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// killByRunDir kills the processes that were started for this run dir and that
// no socket leads to any more: shims whose engine is gone, or the whole family
// where somebody emptied the run dir. Two rounds, since a parent that is still
// alive in the first may start another child.
func killByRunDir(runDir string) error {
	family := []string{"skerry-nodeproc", "containerd", "containerd-shim-runc-v2"}
	for range 2 {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			if err != nil {
				continue
			}
			argv := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
			ours := slices.Contains(family, filepath.Base(argv[0])) && slices.ContainsFunc(argv, func(a string) bool {
				return a == runDir || strings.HasPrefix(a, runDir+"/")
			})
			if ours {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone by now
			}
		}
	}
	return nil
}

// cgroupRoots lists where cgroup hierarchies are mounted.
func cgroupRoots() ([]string, error) {
	var out []string
	err := eachMount(func(point, kind string) {
		if kind == "cgroup" || kind == "cgroup2" {
			out = append(out, point)
		}
	})
	return out, err
}

// eachMount calls do with the mount point and file system type of each mount.
func eachMount(do func(point, kind string)) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		left, right, ok := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(left)
		if !ok || len(fields) < 5 {
			continue
		}
		kind, _, _ := strings.Cut(right, " ")
		do(strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4]), kind)
	}
	return nil
}

// walkCgroups calls do for every group at and below group in every hierarchy,
// the deepest first.
func walkCgroups(group string, do func(dir string)) error {
	if group == "/skerry/" {
		return nil // a node that never started has no id
	}
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(root, group), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // a group that goes meanwhile is what we want
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			do(d)
		}
	}
	return nil
}

// killCgroups kills every process in and below a group, until none is left.
func killCgroups(group string) error {
	for range 100 {
		n := 0
		err := walkCgroups(group, func(dir string) {
			b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			if err != nil {
				return
			}
			for _, word := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
					n++
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone by now
				}
			}
		})
		if err != nil || n == 0 {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("some processes do not end")
}

// removeCgroups removes the empty groups at and below a group.
func removeCgroups(group string) error {
	var last error
	for range 50 {
		last = nil
		err := walkCgroups(group, func(dir string) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				last = err
			}
		})
		if err != nil || last == nil {
			return err
		}
		time.Sleep(20 * time.Millisecond) // a killed process leaves its group a moment later
	}
	return last
}

// unmountBelow unmounts everything below the folders, the newest first.
func unmountBelow(dirs ...string) error {
	var points []string
	if err := eachMount(func(point, _ string) {
		if slices.ContainsFunc(dirs, func(d string) bool { return strings.HasPrefix(point, d+"/") }) {
			points = append(points, point)
		}
	}); err != nil {
		return err
	}
	slices.Reverse(points)
	var errs []error
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// removeContents empties a folder but for the daemon's lock, which its owner
// holds until the very end.
func removeContents(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != "daemon.lock" {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
