package ctrd

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/workload"
)

// openDir opens a directory for reading its entries.
const openDir = unix.O_RDONLY | unix.O_DIRECTORY

// tree is a container's file system as the container sees it, held by a file
// descriptor of its root. Every path is resolved by the kernel inside that root
// (openat2 with RESOLVE_IN_ROOT): "..", absolute links and links changed while
// we look can never lead out of it. Links of /proc are not followed.
type tree struct{ fd int }

// open opens name inside the tree. flags and mode as for openat; a final link is
// followed unless O_NOFOLLOW is given. Errors: ErrPathNotFound.
func (t *tree) open(name string, flags int, mode uint32) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags) | unix.O_CLOEXEC,
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	name = path.Clean("/" + name)
	for try := 0; ; try++ {
		fd, err := unix.Openat2(t.fd, name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN) && try < 64:
			continue // a rename somewhere on the way: the kernel asks to try again
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			return nil, fmt.Errorf("%q: %w", clip(name), workload.ErrPathNotFound)
		}
		return nil, fmt.Errorf("open %q in the container: %w", clip(name), err)
	}
}

// parent opens the directory that holds name and returns the last element.
func (t *tree) parent(name string) (*os.File, string, error) {
	name = path.Clean("/" + name)
	dir, err := t.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	return dir, path.Base(name), err
}

// withRoot runs f on the container's file system, volumes included: through its
// main process while it runs, through a private mount of its layer otherwise.
// The caller holds the container's lock.
func (r *Runtime) withRoot(f *facts, pid int, do func(*tree) error) error {
	if pid > 0 {
		return r.withProcessRoot(f, pid, do)
	}
	return r.withLayer(f.mounts, f.spec.Mounts, f.spec.ReadOnlyRoot, do)
}

func (r *Runtime) withProcessRoot(f *facts, pid int, do func(*tree) error) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root of container %s: %w", f.spec.ID, err)
	}
	defer unix.Close(fd)
	// The process may have ended and its number may be another's by now: only a
	// process in the container's own cgroup has the container's root.
	in, err := r.cgroups.holds(r.cgroupPath(&f.spec), pid)
	if err != nil {
		return err
	}
	if !in {
		return fmt.Errorf("container %s: %w", f.spec.ID, workload.ErrNotRunning)
	}
	return do(&tree{fd})
}

// withLayer mounts a layer, and the volumes in it, in a mount namespace that
// lives only as long as do: whatever happens, even our death, nothing stays
// mounted and nobody else ever sees the mounts.
func (r *Runtime) withLayer(layer []mount.Mount, binds []workload.Mount, readOnly bool, do func(*tree) error) error {
	if len(layer) != 1 {
		return fmt.Errorf("mount a layer: %d mounts given, want one", len(layer))
	}
	at := filepath.Join(r.cfg.Engine.RunDir, "engine", "look")
	if err := os.MkdirAll(at, 0o700); err != nil {
		return fmt.Errorf("mount a layer: %w", err)
	}
	return onDoomedThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		if err := mountLayer(layer[0], at, readOnly); err != nil {
			return fmt.Errorf("mount a layer: %w", err)
		}
		fd, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("mount a layer: %w", err)
		}
		defer unix.Close(fd)
		t := &tree{fd}
		for _, b := range binds {
			if err := t.bind(b); err != nil {
				return err
			}
		}
		return do(t)
	})
}

// onDoomedThread runs f on an OS thread that ends afterwards, and with it every
// namespace that f has entered. It is never the process's first thread: that one
// cannot end, and what /proc/self shows would be its namespaces for ever.
func onDoomedThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// While this goroutine holds the first thread, the next one gets another.
			defer runtime.UnlockOSThread()
			result <- onDoomedThread(f)
			return
		}
		result <- f() // never unlocked: the thread ends with the goroutine
	}()
	return <-result
}

// privateMounts gives the calling thread a mount namespace of its own. Unmounts
// of the host still arrive, so we never keep another container's layer busy.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make the mount namespace private: %w", err)
	}
	return nil
}

// maxMountData is what the kernel takes of mount options: one page with a margin.
const maxMountData = 4096 - 512

// mountLayer mounts what the snapshotter says. The calling thread must have a
// file system state of its own (CLONE_FS): long lists of layers are shortened by
// changing its working directory.
func mountLayer(m mount.Mount, at string, readOnly bool) error {
	var flags uintptr
	var data []string
	for _, o := range m.Options {
		switch o {
		case "ro":
			flags |= unix.MS_RDONLY
		case "bind":
			flags |= unix.MS_BIND
		case "rbind":
			flags |= unix.MS_BIND | unix.MS_REC
		case "rw":
		default:
			data = append(data, o)
		}
	}
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	flags |= unix.MS_NODEV | unix.MS_NOSUID
	opts := strings.Join(data, ",")
	if len(opts) > maxMountData {
		common := commonLayerDir(data)
		if common == "" {
			return errors.New("the image has too many layers for one mount")
		}
		if err := unix.Chdir(common); err != nil {
			return err
		}
		opts = strings.ReplaceAll(opts, common+"/", "")
	}
	if err := unix.Mount(m.Source, at, m.Type, flags, opts); err != nil {
		return err
	}
	if flags&unix.MS_BIND != 0 && flags&unix.MS_RDONLY != 0 {
		return unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, "")
	}
	return nil
}

// commonLayerDir is the folder that holds all layers named in overlay options.
func commonLayerDir(opts []string) string {
	for _, o := range opts {
		if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
			first, _, _ := strings.Cut(dirs, ":")
			// .../snapshots/12/fs
			common := filepath.Dir(filepath.Dir(first))
			if common == "/" || common == "." {
				return ""
			}
			return common
		}
	}
	return ""
}

// bind shows a volume at its place; a place that is missing is left out.
func (t *tree) bind(m workload.Mount) error {
	dst, err := t.open(m.Destination, unix.O_PATH, 0)
	if errors.Is(err, workload.ErrPathNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dst.Close()
	at := fmt.Sprintf("/proc/thread-self/fd/%d", dst.Fd())
	if err := unix.Mount(m.Source, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show the volume at %s: %w", m.Destination, err)
	}
	if m.ReadOnly {
		// The descriptor still means the covered place: name the new mount by path.
		over, err := t.open(m.Destination, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer over.Close()
		at := fmt.Sprintf("/proc/thread-self/fd/%d", over.Fd())
		if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("show the volume at %s read-only: %w", m.Destination, err)
		}
	}
	return nil
}
