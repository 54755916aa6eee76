package logd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipeSize is what each FIFO can hold in bytes: one second of a container that writes 1 MB/s.
const pipeSize = 1 << 20

// peekSize is how much one batch looks at, in raw bytes.
const peekSize = 64 << 10

// makeFIFO makes a FIFO of mode 0600, or accepts the one that is there.
func makeFIFO(path string) error {
	err := unix.Mkfifo(path, 0o600)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make pipe %s: %w", path, err)
	}
	return nil
}

// openFIFO opens both directions, so that reading never ends and writing never fails because nobody else is there yet.
func openFIFO(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	if info, err := f.Stat(); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		return nil, errors.Join(fmt.Errorf("open pipe %s: it is no pipe", path), err, f.Close())
	}
	return f, nil
}

// growPipe asks for pipeSize. A refusal leaves the kernel's default, which is enough to work.
func growPipe(fd uintptr) error { return setPipeSize(fd, pipeSize) }

func setPipeSize(fd uintptr, size int) error {
	if _, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size); err != nil {
		return fmt.Errorf("set pipe size to %d bytes: %w", size, err)
	}
	return nil
}

// available is the number of bytes in the pipe.
func available(fd uintptr) (int, error) {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	if err != nil {
		return 0, fmt.Errorf("ask pipe for its fill: %w", err)
	}
	return n, nil
}

// full says whether a writer would block now.
func full(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 0
}

// peeker looks into pipes without taking anything: tee(2) into a pipe of its own, then read from that.
// One serves all streams; a look takes microseconds.
type peeker struct {
	mu   sync.Mutex
	r, w int
}

func newPeeker() (*peeker, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make the private pipe: %w", err)
	}
	pk := &peeker{r: p[0], w: p[1]}
	if err := growPipe(uintptr(pk.w)); err != nil {
		pk.close()
		return nil, err
	}
	return pk, nil
}

func (p *peeker) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// peek copies what lies at the head of fd into buf and returns how many bytes that are; 0 means empty.
func (p *peeker) peek(fd uintptr, buf []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n int64
	for {
		var err error
		n, err = unix.Tee(int(fd), p.w, len(buf), unix.SPLICE_F_NONBLOCK)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("look into pipe: %w", err)
		}
		break
	}
	for got := 0; got < int(n); {
		m, err := unix.Read(p.r, buf[got:n])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read the private pipe: %w", err)
		}
		got += m
	}
	return int(n), nil
}

// consume takes len(scratch) bytes, at least one, from the head of fd: all but the last into scratch, the last into *last.
//
// The kernel does not interrupt a pipe read that has its data, not even for SIGKILL. So when last points into a
// shared mapping, what stands there after a crash tells exactly whether the bytes were taken.
func consume(fd uintptr, scratch []byte, last *byte) error {
	n := len(scratch)
	for {
		iov := [2]syscall.Iovec{{Base: &scratch[0]}, {Base: last}}
		iov[0].SetLen(n - 1)
		iov[1].SetLen(1)
		got, _, errno := syscall.Syscall(syscall.SYS_READV, fd, uintptr(unsafe.Pointer(&iov[0])), 2)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return fmt.Errorf("take %d bytes from pipe: %w", n, errno)
		case int(got) != n:
			return fmt.Errorf("take %d bytes from pipe: only %d were there; something else reads it", n, got)
		}
		return nil
	}
}
