package ports

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/netfw/netnstest"
)

func TestHolders(t *testing.T) {
	h := netnstest.NewHost(t, "host")
	h.Listen("127.0.0.1:8080")
	h.ListenPacket("127.0.0.53:53")
	var v6 net.Listener
	h.Must(func() (err error) {
		v6, err = net.Listen("tcp", "[::]:2222")
		return err
	})
	defer v6.Close()
	// A connection out of a port does not hold it.
	server := h.Listen("127.0.0.1:1")
	c, err := h.Dial("tcp4", "127.0.0.1:1", 1e9)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	outgoing := c.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	_ = server
	for _, tc := range []struct {
		proto, address string
		port           uint16
		held           string
	}{
		{"tcp", "0.0.0.0", 8080, "127.0.0.1:8080"},
		{"tcp", "", 8080, "127.0.0.1:8080"},
		{"tcp", "127.0.0.1", 8080, "127.0.0.1:8080"},
		{"tcp", "192.0.2.1", 8080, ""},
		{"udp", "0.0.0.0", 8080, ""},
		{"udp", "0.0.0.0", 53, "127.0.0.53:53"},
		{"udp", "127.0.0.1", 53, ""},
		{"tcp", "192.0.2.1", 2222, "[::]:2222"},
		{"tcp", "", 9, ""},
		{"tcp", "", outgoing, ""},
	} {
		var address netip.Addr
		if tc.address != "" {
			address = netip.MustParseAddr(tc.address)
		}
		var got []Holder
		h.Must(func() (err error) {
			got, err = Holders(tc.proto, address, tc.port)
			return err
		})
		if tc.held == "" {
			if len(got) != 0 {
				t.Errorf("%s %s:%d is held by %v, want nobody", tc.proto, tc.address, tc.port, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Address.String() != tc.held || got[0].PID != os.Getpid() ||
			got[0].Process != strings.TrimSpace(string(comm)) {
			t.Errorf("%s %s:%d: %+v, want this process at %s", tc.proto, tc.address, tc.port, got, tc.held)
		}
	}
	if _, err := Holders("icmp", netip.Addr{}, 1); err == nil {
		t.Error("protocol icmp was accepted")
	}
}

func TestForeignProcessIsNamed(t *testing.T) {
	h := netnstest.NewHost(t, "host")
	p := h.Start("python3", "-c", "import socket,time; s=socket.create_server(('0.0.0.0', 22)); time.sleep(60)")
	var got []Holder
	netnstest.Eventually(t, 10e9, "a listener of the other process", func() bool {
		h.Must(func() (err error) {
			got, err = Holders("tcp", netip.Addr{}, 22)
			return err
		})
		return len(got) > 0
	})
	if got[0].PID != p.Pid || !strings.HasPrefix(got[0].String(), "python3") {
		t.Errorf("port 22 is held by %s, want python3 (pid %d)", got[0], p.Pid)
	}
}

func TestUnreadableTablesAreErrors(t *testing.T) {
	for _, line := range []string{
		"0: XYZ:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
		"0: 0100007F1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
		"0: 0100007F:FFFFF 00000000:0000 0A 0:0 0:0 0 0 0 1",
		"0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 x",
	} {
		if got, err := parse(strings.NewReader("header\n"+line+"\n"), "tcp"); err == nil {
			t.Errorf("%q was read as %v", line, got)
		}
	}
}
