// Package netnstest makes test hosts out of network namespaces, so that rules, addresses and names are tried on the
// real kernel without touching the machine's own network.
//
// It owns the namespaces it makes and everything in them, and removes them when the test ends. It is for tests only.
// A Host may be used from several goroutines; what runs inside Do must not start goroutines that touch the network,
// because only the calling one is inside.
package netnstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is one network namespace that plays a machine.
type Host struct {
	Name    string
	Address netip.Addr // on the wire that Cluster laid; zero for a Host made alone
	t       testing.TB
	fd      netns.NsHandle
}

// Require skips the test, with the reason, where network namespaces cannot be made.
func Require(t testing.TB) {
	t.Helper()
	err := onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	if err != nil {
		t.Skipf("needs network namespaces (run as root): %v", err)
	}
}

// NewHost makes an empty namespace with loopback up.
func NewHost(t testing.TB, name string) *Host {
	t.Helper()
	Require(t)
	h := &Host{Name: name, t: t, fd: -1}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		fd, err := netns.GetFromPath("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		h.fd = fd
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatalf("make network namespace for %s: %v", name, err)
	}
	t.Cleanup(func() { h.fd.Close() })
	return h
}

// Adopt opens a namespace that the code under test made, to look at the network from inside it.
func Adopt(t testing.TB, name, path string) *Host {
	t.Helper()
	fd, err := netns.GetFromPath(path)
	if err != nil {
		t.Fatalf("open network namespace of %s: %v", name, err)
	}
	h := &Host{Name: name, t: t, fd: fd}
	t.Cleanup(func() { h.fd.Close() })
	return h
}

// Cluster makes n hosts on one wire, 192.0.2.1/24 upwards, with default routes through 192.0.2.254, which nobody has.
func Cluster(t testing.TB, n int) []*Host {
	t.Helper()
	hosts, _ := Wired(t, n)
	return hosts
}

// Wired is Cluster that also gives the wire: the namespace with the bridge "wire", to which host i is plugged by the
// interface "port<i+1>".
func Wired(t testing.TB, n int) ([]*Host, *Host) {
	t.Helper()
	wire := NewHost(t, "wire")
	wire.Must(func() error {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "wire", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
		if err := netlink.LinkAdd(bridge); err != nil {
			return err
		}
		return netlink.LinkSetUp(bridge)
	})
	hosts := make([]*Host, n)
	for i := range hosts {
		h := NewHost(t, fmt.Sprintf("h%d", i+1))
		h.Address = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		wire.Must(func() error { return plug(h, fmt.Sprintf("port%d", i+1)) })
		h.Must(func() error { return address(h.Address) })
		hosts[i] = h
	}
	return hosts, wire
}

// Routed makes hosts on several wires with a router in between: as many on each wire as sizes say, 198.18.<wire>.1/24
// upwards, with default routes through the router at .254. The router knows no other networks.
func Routed(t testing.TB, sizes ...int) (hosts []*Host, router *Host) {
	t.Helper()
	router = NewHost(t, "router")
	router.Must(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	for wire, size := range sizes {
		at := func(last int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(wire + 1), byte(last)}) }
		bridge := fmt.Sprintf("wire%d", wire+1)
		router.Must(func() error {
			link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 1, byte(wire)}}}
			if err := netlink.LinkAdd(link); err != nil {
				return err
			}
			if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: at(254).AsSlice(), Mask: net.CIDRMask(24, 32)}}); err != nil {
				return err
			}
			return netlink.LinkSetUp(link)
		})
		for i := range size {
			h := NewHost(t, fmt.Sprintf("h%d", len(hosts)+1))
			h.Address = at(i + 1)
			router.Must(func() error { return plugTo(h, fmt.Sprintf("port%d", len(hosts)+1), bridge) })
			h.Must(func() error { return addressVia(h.Address, at(254)) })
			hosts = append(hosts, h)
		}
	}
	return hosts, router
}

// plug runs in the wire's namespace.
func plug(h *Host, port string) error { return plugTo(h, port, "wire") }

func plugTo(h *Host, port, wire string) error {
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: port})
	veth.PeerName, veth.PeerNamespace = "eth0", netlink.NsFd(h.fd)
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	link, err := netlink.LinkByName(port)
	if err != nil {
		return err
	}
	bridge, err := netlink.LinkByName(wire)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(link, bridge); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// address runs in the host's namespace.
func address(a netip.Addr) error { return addressVia(a, netip.AddrFrom4([4]byte{192, 0, 2, 254})) }

func addressVia(a, router netip.Addr) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: router.AsSlice()})
}

// Readdress gives a host of Cluster or Wired another address of 192.0.2.0/24 instead of the one that it has. The old one
// goes first, as where DHCP gives another; routes go with it.
func (h *Host) Readdress(to netip.Addr) error {
	err := h.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		old := &netlink.Addr{IPNet: &net.IPNet{IP: h.Address.AsSlice(), Mask: net.CIDRMask(24, 32)}}
		if err := netlink.AddrDel(link, old); err != nil {
			return err
		}
		return address(to)
	})
	if err != nil {
		return fmt.Errorf("change the address of %s: %w", h.Name, err)
	}
	h.Address = to
	return nil
}

// Do runs fn inside the host on a thread of its own, which dies afterwards.
func (h *Host) Do(fn func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.fd); err != nil {
			return fmt.Errorf("enter network namespace of %s: %w", h.Name, err)
		}
		return fn()
	})
}

// Must is Do that ends the test when fn fails.
func (h *Host) Must(fn func() error) {
	h.t.Helper()
	if err := h.Do(fn); err != nil {
		h.t.Fatalf("on %s: %v", h.Name, err)
	}
}

// Run runs a command inside the host and returns its output; it ends the test when the command fails.
func (h *Host) Run(argv ...string) string {
	h.t.Helper()
	out, err := h.Try(argv...)
	if err != nil {
		h.t.Fatalf("on %s: %s: %v\n%s", h.Name, strings.Join(argv, " "), err, out)
	}
	return out
}

// Try is Run for commands that may fail.
func (h *Host) Try(argv ...string) (string, error) {
	var out []byte
	err := h.Do(func() (err error) {
		out, err = exec.Command(argv[0], argv[1:]...).CombinedOutput()
		return err
	})
	return string(out), err
}

// Start starts a process inside the host. It is killed and waited for when the test ends; its output goes to the
// test's log when the test failed.
func (h *Host) Start(argv ...string) *os.Process {
	h.t.Helper()
	log, err := os.Create(filepath.Join(h.t.TempDir(), "output"))
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	h.Must(cmd.Start)
	h.t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			h.t.Errorf("kill %s: %v", argv[0], err)
		}
		if err := cmd.Wait(); err != nil && h.t.Failed() {
			if out, readErr := os.ReadFile(log.Name()); readErr == nil {
				h.t.Logf("%s on %s (%v):\n%s", argv[0], h.Name, err, out)
			}
		}
		log.Close()
	})
	return cmd.Process
}

// Listen opens a TCP listener inside the host; it serves from any thread, because a socket stays where it was made.
func (h *Host) Listen(address string) net.Listener {
	h.t.Helper()
	var l net.Listener
	h.Must(func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	h.t.Cleanup(func() { l.Close() })
	return l
}

// ListenPacket opens a UDP socket inside the host.
func (h *Host) ListenPacket(address string) net.PacketConn {
	h.t.Helper()
	var c net.PacketConn
	h.Must(func() (err error) {
		c, err = net.ListenPacket("udp4", address)
		return err
	})
	h.t.Cleanup(func() { c.Close() })
	return c
}

// Dial connects from inside the host.
func (h *Host) Dial(network, address string, timeout time.Duration) (net.Conn, error) {
	var c net.Conn
	err := h.Do(func() (err error) {
		// Addresses are numbers here; a dialer that resolves or races would leave this thread.
		c, err = (&net.Dialer{Timeout: timeout, FallbackDelay: -1}).Dial(network, address)
		return err
	})
	return c, err
}

// ServeName answers every TCP connection and UDP datagram on port with "name peer", at every address of the host.
func (h *Host) ServeName(name string, port uint16) {
	h.t.Helper()
	h.ServeNameAt(name, "0.0.0.0", port)
}

// ServeNameAt is ServeName at one address.
func (h *Host) ServeNameAt(name, address string, port uint16) {
	h.t.Helper()
	l := h.Listen(fmt.Sprintf("%s:%d", address, port))
	p := h.ListenPacket(fmt.Sprintf("%s:%d", address, port))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintf(c, "%s %s\n", name, host)
			c.Close()
		}
	}()
	go func() {
		buf := make([]byte, 1500)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(from.String())
			if _, err := p.WriteTo(fmt.Appendf(nil, "%s %s\n", name, host), from); err != nil {
				return
			}
		}
	}()
}

// Ask connects by TCP and returns the words that ServeName answered.
func (h *Host) Ask(address string, timeout time.Duration) ([]string, error) {
	c, err := h.Dial("tcp4", address, timeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return read(c, timeout)
}

// AskUDP sends one datagram and returns the words that ServeName answered.
func (h *Host) AskUDP(address string, timeout time.Duration) ([]string, error) {
	c, err := h.Dial("udp4", address, timeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return nil, err
	}
	return read(c, timeout)
}

func read(c net.Conn, timeout time.Duration) ([]string, error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(buf[:n])), nil
}

// Ping sends one ICMP echo with size bytes of data, in fragments if it must be, and waits for its answer.
func (h *Host) Ping(address string, size int, timeout time.Duration) error {
	to, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	var c net.PacketConn
	if err := h.Do(func() (err error) {
		c, err = net.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	}); err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	const request, id = 8, 0x534b
	echo := make([]byte, 8+size)
	echo[0] = request
	binary.BigEndian.PutUint16(echo[4:], id)
	sum := uint32(request)<<8 + id // of 16-bit words; the data is zeros
	binary.BigEndian.PutUint16(echo[2:], ^uint16(sum))
	if _, err := c.WriteTo(echo, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return fmt.Errorf("ping %s: %w", address, err)
	}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return fmt.Errorf("ping %s: %w", address, err)
		}
		if from.String() == address && n == len(echo) && buf[0] == 0 && binary.BigEndian.Uint16(buf[4:]) == id {
			return nil
		}
	}
}

// Refused reports whether err says that the other side, or a rule, refused the connection at once.
func Refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH)
}

// Eventually polls until ok, or ends the test after limit with what it waited for.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// onThread runs fn on a thread that is thrown away, because its network namespace may have changed.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- fn()
	}()
	return <-done
}
