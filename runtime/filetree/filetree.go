// Package filetree looks into and changes one tree of files that somebody else
// may change at the same time and with bad intent: a container's root or a
// volume.
//
// Every path is resolved by the kernel inside the tree (openat2), so "..",
// absolute links and links swapped while we look never lead out of it. Nothing
// but regular files is ever opened, what the kernel makes up (/proc, /sys) is
// listed and never read or changed, and what is mounted is never removed,
// renamed over or walked into. It never mounts anything and keeps nothing
// between calls.
//
// A Tree is used by one goroutine; runtime/ctrd and runtime/volume give it out.
// Names are bytes: any name that the kernel takes is taken here.
package filetree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What can be wrong with a path. Test with errors.Is.
var (
	ErrNotFound   = errors.New("no such file or folder")
	ErrNotFolder  = errors.New("not a folder")
	ErrIsFolder   = errors.New("a folder")
	ErrNotRegular = errors.New("not a regular file")
	ErrExists     = errors.New("exists already")
	ErrNotEmpty   = errors.New("a folder that is not empty")
	ErrRoot       = errors.New("the root of the tree")
	ErrMount      = errors.New("something is mounted there")
	ErrKernel     = errors.New("made by the kernel")
	ErrReadOnly   = errors.New("read-only")
	ErrLoop       = errors.New("too many links to follow")
	ErrDeep       = errors.New("nested too deeply")
	ErrName       = errors.New("no usable name")
)

// Limits.
const (
	// MaxEntries is how many entries List gives at most.
	MaxEntries = 10_000
	// maxDepth bounds how deep Remove follows folders: each costs a descriptor.
	maxDepth = 512
	maxLinks = 40
)

// Kind is what an entry is.
type Kind uint8

// The kinds.
const (
	File Kind = iota + 1
	Folder
	Link
	Other // a device, FIFO or socket
)

// Entry is one file or folder; a link is described, never followed.
type Entry struct {
	Name       string // bytes, perhaps no UTF-8
	Kind       Kind
	Size       int64  // bytes; of a file or link
	Mode       uint32 // 0 to 07777
	UID, GID   uint32
	ModTime    time.Time
	LinkTarget string // of a link
	Mount      bool   // something is mounted here
}

// Tree is a file tree by an open descriptor of its root.
type Tree struct{ fd int }

// At is the tree below an open folder, which the caller keeps open meanwhile.
func At(fd int) Tree { return Tree{fd} }

func (t Tree) open(name string, flags int) (*os.File, error) {
	return openat2(t.fd, name, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// openat2 gives the errors of this package for what is wrong with the path.
func openat2(dir int, name string, flags int, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(dir, name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN) && try < 64:
			continue // a rename somewhere on the way: the kernel asks to try again
		}
		return nil, classify(err)
	}
}

// classify turns the kernel's word into this package's and keeps both.
func classify(err error) error {
	for errno, class := range map[error]error{
		unix.ENOENT: ErrNotFound, unix.ENOTDIR: ErrNotFolder, unix.EISDIR: ErrIsFolder, unix.EEXIST: ErrExists,
		unix.ENOTEMPTY: ErrNotEmpty, unix.EROFS: ErrReadOnly, unix.ELOOP: ErrLoop, unix.EBUSY: ErrMount, unix.EXDEV: ErrMount,
		unix.ENAMETOOLONG: ErrName,
	} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w (%w)", class, err)
		}
	}
	return err
}

// split gives the folder and the last element of a path.
func split(name string) (dir, base string) {
	name = path.Clean("/" + name)
	return path.Dir(name), path.Base(name)
}

// parent opens the folder that holds name, which must not be the root.
func (t Tree) parent(name string) (*os.File, string, error) {
	dir, base := split(name)
	if base == "/" {
		return nil, "", ErrRoot
	}
	if len(base) > 255 {
		return nil, "", ErrName
	}
	f, err := t.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	return f, base, err
}

// Stat describes what is at name.
func (t Tree) Stat(name string) (Entry, error) {
	dir, base, err := t.parent(name)
	if errors.Is(err, ErrRoot) {
		var st unix.Stat_t
		if err := unix.Fstatat(t.fd, "", &st, unix.AT_EMPTY_PATH); err != nil {
			return Entry{}, err
		}
		return entry("/", &st), nil
	}
	if err != nil {
		return Entry{}, err
	}
	defer dir.Close()
	return look(int(dir.Fd()), base)
}

// look describes base in an open folder.
func look(dir int, base string) (Entry, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT); err != nil {
		return Entry{}, classify(err)
	}
	e := entry(base, &st)
	if e.Kind == Link {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, base, buf)
		if err != nil {
			return Entry{}, classify(err)
		}
		e.LinkTarget = string(buf[:n])
		return e, nil
	}
	mounted, err := isMount(dir, base)
	e.Mount = mounted
	return e, err
}

func entry(name string, st *unix.Stat_t) Entry {
	e := Entry{Name: name, Kind: Other, Size: st.Size, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, ModTime: time.Unix(st.Mtim.Unix())}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind = File
	case unix.S_IFDIR:
		e.Kind, e.Size = Folder, 0
	case unix.S_IFLNK:
		e.Kind = Link
	}
	return e
}

// inFolder resolves one name in an open folder: no link, no way up, no mount.
const inFolder = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS

// isMount says whether something is mounted over base, a file included: removing
// it would take the mount away from the container without a word.
func isMount(dir int, base string) (bool, error) {
	f, err := openat2(dir, base, unix.O_PATH|unix.O_NOFOLLOW, inFolder)
	switch {
	case err == nil:
		return false, f.Close()
	case errors.Is(err, unix.EXDEV):
		return true, nil
	}
	return false, err
}

// List describes what is in the folder at name, folders first, then by name.
// Links on the way are followed inside the tree. Of more than MaxEntries some
// are given and truncated is true.
func (t Tree) List(ctx context.Context, name string) (entries []Entry, truncated bool, err error) {
	dir, err := t.open(path.Clean("/"+name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, false, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(MaxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if truncated = len(names) > MaxEntries; truncated {
		names = names[:MaxEntries]
	}
	entries = make([]Entry, 0, len(names))
	for _, n := range names {
		if ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		e, err := look(int(dir.Fd()), n)
		if errors.Is(err, ErrNotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, false, fmt.Errorf("%q: %w", n, err)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if (a.Kind == Folder) != (b.Kind == Folder) {
			if a.Kind == Folder {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return entries, truncated, nil
}

// Open opens the regular file at name for reading; links are followed inside
// the tree. The caller closes it.
func (t Tree) Open(name string) (*os.File, Entry, error) {
	// First without opening the thing itself: opening a device does something.
	at, err := t.open(path.Clean("/"+name), unix.O_PATH)
	if err != nil {
		return nil, Entry{}, err
	}
	defer at.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(at.Fd()), &st); err != nil {
		return nil, Entry{}, err
	}
	e := entry(path.Base(path.Clean("/"+name)), &st)
	switch e.Kind {
	case File:
	case Folder:
		return nil, e, ErrIsFolder
	default:
		return nil, e, ErrNotRegular
	}
	if err := ofStorage(int(at.Fd())); err != nil {
		return nil, e, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/thread-self/fd/%d", at.Fd()))
	return f, e, err
}

// kernelMade are the file systems whose files are the kernel's words. Root on
// the host may read and write there what nobody in a container may.
var kernelMade = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
	unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.EFIVARFS_MAGIC, unix.PSTOREFS_MAGIC, unix.SELINUX_MAGIC, unix.SMACK_MAGIC,
	unix.BINFMTFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.NSFS_MAGIC, configfsMagic,
}

const configfsMagic = 0x62656570

func ofStorage(fd int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return err
	}
	if slices.Contains(kernelMade, st.Type) {
		return ErrKernel
	}
	return nil
}

// Mkdir makes the folder name, of root and with mode 0755. What holds it must
// be there.
func (t Tree) Mkdir(name string) (Entry, error) {
	dir, base, err := t.parent(name)
	if errors.Is(err, ErrRoot) {
		err = ErrExists
	}
	if err != nil {
		return Entry{}, err
	}
	defer dir.Close()
	d := int(dir.Fd())
	if err := ofStorage(d); err != nil {
		return Entry{}, err
	}
	if err := unix.Mkdirat(d, base, 0o755); err != nil {
		return Entry{}, classify(err)
	}
	// The process's umask may have taken bits away.
	if f, err := openat2(d, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, inFolder); err == nil {
		err = unix.Fchmod(int(f.Fd()), 0o755)
		if err = errors.Join(err, f.Close()); err != nil {
			return Entry{}, err
		}
	}
	return look(d, base)
}

// IsSpace says whether err means that there is no room left.
func IsSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// IsForbidden says whether the file system itself refuses, for instance for an
// immutable file.
func IsForbidden(err error) bool { return errors.Is(err, fs.ErrPermission) }
