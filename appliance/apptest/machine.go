package apptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/netfw/netnstest"
)

// Machine is a Debian system that runs beside the host: its own processes,
// mounts, network, cgroups and name, with an init of its own. Packages are
// installed in it as on a real machine; the host does not notice.
type Machine struct {
	Host *netnstest.Host // its network

	t     testing.TB
	root  string
	group string
	outer *os.Process // unshare; when it dies everything in the machine does
	init  int
	log   *buffer
}

// bootScript enters the machine's groups and namespaces, mounts what a machine
// has, and becomes its init. Arguments: root, group, init and its arguments.
const bootScript = `set -e
root=$1 group=$2; shift 2
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then kinds=v2; else kinds=$(ls /sys/fs/cgroup); fi
for k in $kinds; do
	h=/sys/fs/cgroup/$k; [ $k = v2 ] && h=/sys/fs/cgroup
	[ -e $h/cgroup.procs ] || continue
	mkdir -p $h/$group
	if [ -e $h/cgroup.subtree_control ]; then for c in $(cat $h/cgroup.controllers); do echo +$c >$h/cgroup.subtree_control || true; done; fi
	for f in cpuset.mems cpuset.cpus; do if [ $k != v2 ] && [ -e $h/$f ]; then cat $h/$f >$h/$group/$f; fi; done
	echo $$ >$h/$group/cgroup.procs
done
export kinds
exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private bash -c '
set -e
mount --bind $1 $1 # systemd wants its root to be a mount
cd $1; name=$2; shift 2
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty fuse loop-control net/tun; do
	[ -e /dev/$d ] || continue
	mkdir -p dev/$(dirname $d); touch dev/$d; mount --bind /dev/$d dev/$d
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
if [ "$kinds" = v2 ]; then mount -t cgroup2 cgroup2 sys/fs/cgroup; else
	mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
	for k in $kinds; do
		mkdir sys/fs/cgroup/$k
		case $k in
		unified) mount -t cgroup2 cgroup2 sys/fs/cgroup/$k ;;
		systemd) mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/$k ;;
		*) mount -t cgroup -o $k cgroup sys/fs/cgroup/$k || rmdir sys/fs/cgroup/$k ;;
		esac
	done
fi
hostname $name
exec env -i container=skerry-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 chroot . "$@"
' boot "$root" "$group" "$@"
`

// Boot unpacks a system (debimage.System) and starts its init: systemd when
// argv is empty. It is gone, with everything in it, when the test ends.
func Boot(t testing.TB, name, tar string, argv ...string) *Machine {
	t.Helper()
	return BootOn(t, netnstest.Cluster(t, 1)[0], name, tar, argv...)
}

// BootOn is Boot in a network that is there already, such as Node.Outside.
func BootOn(t testing.TB, host *netnstest.Host, name, tar string, argv ...string) *Machine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "skm")
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{Host: host, t: t, root: filepath.Join(dir, "root"), group: "skm-" + name + "-" + strconv.Itoa(os.Getpid()), log: &buffer{}}
	t.Cleanup(func() {
		m.off()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("the machine left something behind: %v", err)
		}
	})
	if err := os.Mkdir(m.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", tar, "-C", m.root).CombinedOutput(); err != nil {
		t.Fatalf("unpack the system: %v\n%s", err, out)
	}
	systemd := len(argv) == 0
	if systemd {
		argv = []string{"/lib/systemd/systemd", "--log-target=console", "--log-level=warning", "--show-status=0"}
	}
	cmd := exec.Command("bash", append([]string{"-c", bootScript, "boot", m.root, m.group}, argv...)...) // it lives until the test ends it
	cmd.Stdout, cmd.Stderr = m.log, m.log
	m.Host.Must(cmd.Start)
	m.outer = cmd.Process
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	netnstest.Eventually(t, 60*time.Second, "the machine has booted", func() bool {
		select {
		case err := <-exited:
			t.Fatalf("the machine did not boot: %v\n%s", err, m.log)
		default:
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", m.outer.Pid, m.outer.Pid))
		if err != nil || len(strings.Fields(string(b))) != 1 {
			return false
		}
		if m.init, err = strconv.Atoi(strings.Fields(string(b))[0]); err != nil {
			return false
		}
		if root, err := os.Readlink(fmt.Sprintf("/proc/%d/root", m.init)); err != nil || root != "/" && root != m.root {
			return false
		}
		if !systemd {
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.init))
			return err == nil && strings.TrimSpace(string(comm)) == filepath.Base(argv[0])
		}
		out, _ := m.Try("systemctl", "is-system-running")
		return strings.TrimSpace(out) == "running"
	})
	return m
}

// off ends the machine.
func (m *Machine) off() {
	if m.t.Failed() {
		if out, status := m.Try("journalctl", "--no-pager", "-u", "skerry", "-n", "60"); status == 0 {
			m.t.Logf("the unit's journal:\n%s", out)
		}
		m.t.Logf("the machine's console:\n%s", tail(m.log.String(), 40))
	}
	if m.outer != nil {
		_ = m.outer.Kill() // it may have ended by itself
	}
	netnstest.Eventually(m.t, 20*time.Second, "the machine's groups are gone", func() bool {
		left := false
		for _, pattern := range []string{"/sys/fs/cgroup/*/" + m.group, "/sys/fs/cgroup/" + m.group} {
			found, _ := filepath.Glob(pattern)
			for _, g := range found {
				left = removeGroup(g) != nil || left
			}
		}
		return !left
	})
}

// removeGroup removes a cgroup and those below it.
func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeGroup(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(err, unix.Rmdir(dir))
}

// Put copies a file of the host into the machine.
func (m *Machine) Put(from, to string) {
	m.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = m.Write(to, b)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// Write writes a file in the machine. Its /run, /tmp and /dev are not reached.
func (m *Machine) Write(path string, content []byte) error {
	return os.WriteFile(filepath.Join(m.root, path), content, 0o644)
}

// Exists says whether there is something at a path of the machine's disk.
func (m *Machine) Exists(path string) bool {
	_, err := os.Lstat(filepath.Join(m.root, path))
	return err == nil
}

// Install copies a program of the host into the machine's /usr/local/bin.
func (m *Machine) Install(program string) {
	m.t.Helper()
	to := filepath.Join(m.root, "usr/local/bin", filepath.Base(program))
	b, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// In gives the machine to a subtest, so that what fails ends that one.
func (m *Machine) In(t testing.TB) *Machine {
	c := *m
	c.t = t
	return &c
}

// Try runs a command in the machine and gives all it printed.
func (m *Machine) Try(argv ...string) (string, int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.t.Context()), 3*time.Minute)
	defer cancel()
	enter := []string{
		"-t", strconv.Itoa(m.init), "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root", "DEBIAN_FRONTEND=noninteractive",
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return out.String() + err.Error(), -1
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// OK runs a command that must succeed.
func (m *Machine) OK(argv ...string) string {
	m.t.Helper()
	out, status := m.Try(argv...)
	if status != 0 {
		m.t.Fatalf("%s: status %d\n%s", strings.Join(argv, " "), status, out)
	}
	return strings.TrimRight(out, "\n")
}
