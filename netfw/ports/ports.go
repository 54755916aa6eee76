// Package ports tells which process of this host listens on a port, so that a port that is taken is refused by name.
//
// It only reads /proc and owns nothing. The agent calls Holders before it accepts a published port, because a rule of
// ours would otherwise take the port away from whoever listens there. Safe for concurrent use. It looks at the network
// namespace of the calling thread: listeners inside containers are not seen, and do not matter.
package ports

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Holder is one socket that listens.
type Holder struct {
	Proto   string         // tcp or udp
	Address netip.AddrPort // where; unspecified: at every address
	PID     int            // zero: it could not be found out, or the kernel itself listens
	Process string         // short name, at most 15 bytes, chosen by the process
}

// String names the process for a sentence: "sshd (pid 612)".
func (h Holder) String() string {
	if h.PID == 0 {
		return "a process that cannot be named"
	}
	return fmt.Sprintf("%s (pid %d)", h.Process, h.PID)
}

// Holders lists who listens on port in a way that publishing it at address would take it from them: at that address,
// or, where either is unspecified, anywhere. proto is tcp or udp. Nobody is no error.
func Holders(proto string, address netip.Addr, port uint16) ([]Holder, error) {
	if proto != "tcp" && proto != "udp" {
		return nil, fmt.Errorf("protocol %q is neither tcp nor udp", proto)
	}
	var found []socket
	for _, file := range []string{proto, proto + "6"} {
		f, err := os.Open("/proc/thread-self/net/" + file)
		if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read listening sockets: %w", err)
		}
		sockets, err := parse(f, proto)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read listening sockets from %s: %w", f.Name(), err)
		}
		for _, s := range sockets {
			if s.address.Port() == port && overlap(s.address.Addr(), address) {
				found = append(found, s)
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	owners := findOwners(found)
	out := make([]Holder, 0, len(found))
	for _, s := range found {
		h := Holder{Proto: proto, Address: s.address, PID: owners[s.inode]}
		if h.PID != 0 {
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", h.PID))
			if err != nil {
				h.PID = 0 // it ended in this moment
			}
			h.Process = strings.TrimSpace(string(name))
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Holder) int { return a.Address.Compare(b.Address) })
	return out, nil
}

func overlap(listens, wanted netip.Addr) bool {
	return listens.IsUnspecified() || !wanted.IsValid() || wanted.IsUnspecified() || listens == wanted.Unmap()
}

type socket struct {
	address netip.AddrPort
	inode   uint64
}

// The kernel's states of a TCP listener and of a UDP socket that is connected to nobody.
const (
	stateListen      = "0A"
	stateUnconnected = "07"
)

// parse reads the kernel's table: one line a socket, addresses in hex words of the machine's byte order.
func parse(r io.Reader, proto string) ([]socket, error) {
	want := stateListen
	if proto == "udp" {
		want = stateUnconnected
	}
	var out []socket
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if n == 0 || len(fields) < 10 || fields[3] != want {
			continue
		}
		address, err := parseAddress(fields[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: inode %q: %w", n+1, fields[9], err)
		}
		out = append(out, socket{address, inode})
	}
	return out, lines.Err()
}

func parseAddress(s string) (netip.AddrPort, error) {
	host, port, found := strings.Cut(s, ":")
	words, err := hex.DecodeString(host)
	if !found || err != nil || (len(words) != 4 && len(words) != 16) {
		return netip.AddrPort{}, fmt.Errorf("address %q cannot be read", s)
	}
	for i := 0; i < len(words); i += 4 {
		binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port of address %q cannot be read", s)
	}
	a, _ := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

// findOwners maps inodes of sockets to the lowest pid that has each open. Processes that end meanwhile, or that may
// not be looked at, are passed over.
func findOwners(sockets []socket) map[uint64]int {
	wanted := make(map[string]uint64, len(sockets))
	for _, s := range sockets {
		wanted[fmt.Sprintf("socket:[%d]", s.inode)] = s.inode
	}
	out := map[uint64]int{}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return out
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + p.Name() + "/fd/"
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			target, err := os.Readlink(dir + f.Name())
			if err != nil {
				continue
			}
			if inode, ok := wanted[target]; ok && (out[inode] == 0 || pid < out[inode]) {
				out[inode] = pid
			}
		}
	}
	return out
}
