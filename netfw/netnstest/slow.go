package netnstest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SlowLine stands between a host's plug and the wire's bridge and hands every frame on late: a TAP device is plugged
// into the bridge instead of the port, and two goroutines carry frames between the two. It needs no netem, which some
// kernels lack.
type SlowLine struct {
	delay atomic.Int64 // each way
	tap   *os.File
	port  *os.File // a packet socket on the host's plug
	done  sync.WaitGroup
}

// LaySlowLine replaces port<number> in the bridge that Wired made; close the line before the host goes. Frames must have
// all their bytes, so the host's end computes checksums and cuts segments itself from now on.
func LaySlowLine(wire, host *Host, number int) (*SlowLine, error) {
	err := host.Do(func() error {
		for _, feature := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO} {
			if err := setFeature("eth0", feature, 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
				return fmt.Errorf("switch offloading off: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l := &SlowLine{}
	tap := fmt.Sprintf("slow%d", number)
	err = wire.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq(tap)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		l.tap = os.NewFile(uintptr(fd), tap)
		port, err := netlink.LinkByName(fmt.Sprintf("port%d", number))
		if err != nil {
			return err
		}
		const all = uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in the network's order
		sock, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
		if err != nil {
			return err
		}
		l.port = os.NewFile(uintptr(sock), port.Attrs().Name)
		if err := unix.Bind(sock, &unix.SockaddrLinklayer{Protocol: all, Ifindex: port.Attrs().Index}); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(sock, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		bridge, err := netlink.LinkByName("wire")
		if err != nil {
			return err
		}
		slow, err := netlink.LinkByName(tap)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetNoMaster(port), netlink.SetPromiscOn(port), netlink.LinkSetMaster(slow, bridge), netlink.LinkSetUp(slow))
	})
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("lay a slow line to %s: %w", host.Name, err)
	}
	l.carry(l.port, l.tap)
	l.carry(l.tap, l.port)
	return l, nil
}

// SetDelay makes each frame take longer by d in each direction from now on.
func (l *SlowLine) SetDelay(d time.Duration) { l.delay.Store(int64(d)) }

// frame is on its way.
type frame struct {
	due   time.Time
	bytes []byte
}

// carry moves frames until from is closed. A line that is full loses what comes.
func (l *SlowLine) carry(from, to *os.File) {
	line := make(chan frame, 4096)
	l.done.Go(func() {
		defer close(line)
		b := make([]byte, 65536)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			f := frame{time.Now().Add(time.Duration(l.delay.Load())), append([]byte(nil), b[:n]...)}
			select {
			case line <- f:
			default:
			}
		}
	})
	l.done.Go(func() {
		for f := range line {
			if d := time.Until(f.due); d > 0 {
				<-time.After(d)
			}
			_, _ = to.Write(f.bytes) // a device that is down loses frames, as real ones do
		}
	})
}

// Close ends the line; its host is cut off then.
func (l *SlowLine) Close() {
	for _, f := range []*os.File{l.tap, l.port} {
		if f != nil {
			_ = f.Close() // nothing is kept in it
		}
	}
	l.done.Wait()
}

// setFeature is what `ethtool -K` does.
func setFeature(device string, command, value uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	arg := struct{ command, value uint32 }{command, value}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the kernel reads a whole ifreq
	}{data: unsafe.Pointer(&arg)}
	copy(req.name[:], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
