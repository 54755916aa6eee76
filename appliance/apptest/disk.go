package apptest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// disk is what a node's raft log lies on: a small file system in a file, which
// can be filled, and above it a FUSE file system, which can be slowed down. Both
// outlive the node's end and the host's.
type disk struct {
	t      testing.TB
	dir    string // mount point of the small file system
	point  string // mount point of FUSE: <DataDir>/raft
	delay  atomic.Int64
	server *fuse.Server
}

// ballast is the file that fills the small file system.
const ballast = "ballast"

// RaftDisk gives the node's log a disk of its own, before the first start. Then
// SlowDisk and FullDisk work.
func (n *Node) RaftDisk(megabytes int) {
	n.t.Helper()
	d := &disk{t: n.t, dir: filepath.Join(filepath.Dir(n.RunDir), "disk"), point: filepath.Join(n.DataDir, "raft")}
	for _, dir := range []string{d.dir, d.point} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			n.t.Fatal(err)
		}
	}
	file := filepath.Join(filepath.Dir(n.RunDir), "disk.ext4")
	for _, argv := range [][]string{
		{"truncate", "-s", fmt.Sprintf("%dM", megabytes), file},
		{"mkfs.ext4", "-q", "-m", "0", file},
		{"mount", "-o", "loop", file, d.dir},
	} {
		if out, err := exec.CommandContext(n.t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
			n.t.Fatalf("make a small disk: %s: %v\n%s", argv[0], err, out)
		}
	}
	n.raft = d
	if err := os.Mkdir(filepath.Join(d.dir, "raft"), 0o700); err != nil {
		n.t.Fatal(err)
	}
	root, err := fusefs.NewLoopbackRoot(filepath.Join(d.dir, "raft"))
	if err != nil {
		n.t.Fatal(err)
	}
	d.server, err = fuse.NewServer(&slowFiles{fusefs.NewNodeFS(root, &fusefs.Options{}), &d.delay}, d.point,
		&fuse.MountOptions{DirectMountStrict: true, FsName: "slow", Name: "test", MaxBackground: 64})
	if err != nil {
		n.t.Fatalf("mount a slow disk: %v", err)
	}
	go d.server.Serve()
	if err := d.server.WaitMount(); err != nil {
		n.t.Fatalf("mount a slow disk: %v", err)
	}
}

// holds says whether a mount point is the disk's.
func (d *disk) holds(point string) bool { return point == d.dir || point == d.point }

// free makes the disk fast and gives back its room.
func (d *disk) free() {
	d.delay.Store(0)
	if err := os.Remove(filepath.Join(d.dir, ballast)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.t.Errorf("give back the disk's room: %v", err)
	}
}

// fill leaves no byte free.
func (d *disk) fill() error {
	f, err := os.OpenFile(filepath.Join(d.dir, ballast), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) unmount() error {
	d.free()
	if d.server != nil {
		deadline := time.Now().Add(10 * time.Second)
		for { // a process that was killed may not have let go yet
			err := d.server.Unmount()
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return errors.Join(err, unix.Unmount(d.point, unix.MNT_DETACH))
			}
			<-time.After(50 * time.Millisecond)
		}
	}
	return unix.Unmount(d.dir, 0)
}

// SlowDisk makes every write and fsync of the node's log take longer.
func (n *Node) SlowDisk(by time.Duration) { n.raft.delay.Store(int64(by)) }

// FullDisk leaves no room on the disk of the node's log.
func (n *Node) FullDisk() {
	n.t.Helper()
	if err := n.raft.fill(); err != nil {
		n.t.Errorf("fill the disk: %v", err)
	}
}

// FreeDisk undoes SlowDisk and FullDisk.
func (n *Node) FreeDisk() { n.raft.free() }

// slowFiles hands everything on to a file system, some of it late.
type slowFiles struct {
	fuse.RawFileSystem
	delay *atomic.Int64
}

func (s *slowFiles) wait(cancel <-chan struct{}) {
	if d := time.Duration(s.delay.Load()); d > 0 {
		ctx, stop := context.WithTimeout(context.Background(), d)
		defer stop()
		select {
		case <-ctx.Done():
		case <-cancel:
		}
	}
}

// Open keeps the kernel from writing past us.
func (s *slowFiles) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	st := s.RawFileSystem.Open(cancel, in, out)
	out.OpenFlags &^= fuse.FOPEN_PASSTHROUGH
	out.BackingID = 0
	return st
}

// Create is as Open.
func (s *slowFiles) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	st := s.RawFileSystem.Create(cancel, in, name, out)
	out.OpenFlags &^= fuse.FOPEN_PASSTHROUGH
	out.BackingID = 0
	return st
}

// Writev leaves everything to Write.
func (s *slowFiles) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

// Write is late by the delay.
func (s *slowFiles) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	s.wait(cancel)
	return s.RawFileSystem.Write(cancel, in, data)
}

// Fsync is late by the delay.
func (s *slowFiles) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	s.wait(cancel)
	return s.RawFileSystem.Fsync(cancel, in)
}
