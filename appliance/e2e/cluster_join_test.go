package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
)

// TestJoinRefused tries everything that stands against joining: each has its own
// sentence, and afterwards the host can still join.
func TestJoinRefused(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Start()
	b.Host(0).OK("init")
	b.Host(2).OK("init") // another cluster
	n := b.Host(1)
	door := b.Door(0)

	used := b.Token(0)
	revoked := b.Token(0)
	var tokens struct{ Items []model.JoinToken }
	b.Get(0, "/api/v1/join-tokens", &tokens)
	if len(tokens.Items) != 2 {
		t.Fatalf("two tokens were made, %d are listed", len(tokens.Items))
	}
	// The text bears no id; the newer row is the second token's.
	newest := tokens.Items[0]
	for _, k := range tokens.Items {
		if k.CreatedAt.After(newest.CreatedAt) {
			newest = k
		}
	}
	b.Host(0).OK("token", "revoke", newest.ID)
	short := b.Token(0, "--ttl", "1s")
	b.Host(0).Eventually(5*time.Second, "the short token has expired", func() bool { return expired(short) })

	n.Refused("join token", "join", "SK1.nonsense", door)
	n.Refused("expired", "join", short, door)
	n.Refused("revoked", "join", revoked, door)
	n.Refused("authority", "join", used, b.Door(2)) // another cluster's door
	n.Refused("192.0.2.200:7443", "join", used, "192.0.2.200:7443")
	n.Refused("member", "join", "--worker", used, door) // it is a member's token
	b.Clock(1, -3*time.Hour)
	n.Refused("clock", "join", used, door)
	b.Clock(1, 0)
	if nodes := b.Nodes(0); len(nodes) != 1 {
		t.Fatalf("refused joins left %d nodes", len(nodes))
	}
	n.OK("join", used, door)
	b.AwaitReady(20*time.Second, 0, 1)
	n.Refused("already", "join", b.Token(0), door)
	b.Host(2).Refused("already", "join", b.Token(0), door) // it has a cluster of its own
	b.Host(2).Kill()
}

// expired reads a token's end: the third word, in base 36.
func expired(token string) bool {
	words := strings.Split(token, ".")
	if len(words) < 3 {
		return false
	}
	var end int64
	for _, c := range words[2] {
		d := strings.IndexRune("0123456789abcdefghijklmnopqrstuvwxyz", c)
		end = end*36 + int64(d)
	}
	return time.Now().Unix() > end
}

var names atomic.Int64

// fresh gives a name that nobody has had.
func fresh(prefix string) string { return fmt.Sprintf("%s-%d", prefix, names.Add(1)) }

// TestTwoMembers is one voter and one standby: both have a write before it is
// acknowledged, and without the standby the voter goes on and says so.
func TestTwoMembers(t *testing.T) {
	b := apptest.NewBed(t, 2)
	b.Form()
	b.Host(0).Eventually(20*time.Second, "one voter and one standby", func() bool {
		q, ok := b.Quorum(0)
		parts := map[string]int{}
		for _, m := range q.Members {
			parts[m.Part]++
		}
		return ok && parts["voter"] == 1 && parts["standby"] == 1
	})
	leader := b.Leader(0)
	standby := 1 - leader
	if s, _ := putVolume(b, standby, "both"); s != 201 {
		t.Fatalf("a write through the standby: %d", s)
	}
	b.Host(standby).Kill()
	b.Host(leader).Eventually(15*time.Second, "it is degraded and says so", func() bool {
		putVolume(b, leader, fresh("alone"))
		q, _ := b.Quorum(leader)
		return q.Degraded
	})
	if s, _ := putVolume(b, leader, "alone"); s != 201 {
		t.Errorf("the voter takes no write without its standby: %d", s)
	}
	b.Start(standby)
	b.AwaitReady(30 * time.Second)
	b.Host(leader).Eventually(15*time.Second, "it is no longer degraded", func() bool {
		putVolume(b, leader, fresh("again"))
		q, _ := b.Quorum(leader)
		return !q.Degraded
	})
	if s, _, _ := b.Ask(t.Context(), standby, "GET", "/api/v1/volumes/alone?consistency=strong", nil); s != 200 {
		t.Errorf("the standby lacks what was written meanwhile: %d", s)
	}
}

// TestRecover loses two of three members for good and makes the third a cluster.
func TestRecover(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Form()
	b.Host(0).Probe()
	web(t, b, 0, "web", 8080, 3)
	b.Host(0).Eventually(20*time.Second, "all three vote", func() bool { q, _ := b.Quorum(0); return q.Voters == 3 })
	if s, _ := putVolume(b, 1, "kept"); s != 201 {
		t.Fatalf("a write: %d", s)
	}
	b.Host(1).Reboot()
	b.Host(2).Reboot()
	begun := time.Now()
	if s, _ := putVolume(b, 0, "no-quorum"); s == 201 {
		t.Fatal("a write is acknowledged without a quorum")
	}
	out := b.Host(0).OK("recover", "--yes", "--force")
	t.Logf("recover said:\n%s", out)
	b.Host(0).Eventually(30*time.Second, "it takes writes", func() bool { s, _ := putVolume(b, 0, "after"); return s == 201 })
	t.Logf("writable %.1f s after the quorum was lost", time.Since(begun).Seconds())
	if s, _, _ := b.Ask(t.Context(), 0, "GET", "/api/v1/volumes/kept", nil); s != 200 {
		t.Error("what was acknowledged is lost")
	}
	b.Host(0).Eventually(20*time.Second, "the survivor runs everything", func() bool {
		here := 0
		for _, host := range b.Placed(0, "web") {
			if host == "n1" {
				here++
			}
		}
		return here == 3
	})
	// A member of before stops with a sentence and is not let in again.
	b.Host(1).Launch()
	b.Host(1).Eventually(30*time.Second, "the member of the old generation stops", func() bool { over, _ := b.Host(1).Ended(); return over })
	if !strings.Contains(b.Host(1).Log(), "generation") {
		t.Error("it does not say why")
	}
	b.Host(1).Kill()
	b.Host(1).OK("reset", "--data", "--data-dir", b.Host(1).DataDir, "--run-dir", b.Host(1).RunDir)
	b.Host(0).OK("node", "rm", "--force", "n2")
	b.Start(1)
	b.Join(1, 0)
	b.AwaitReady(30*time.Second, 0, 1)
}

// TestWorker joins a worker of an environment of its own and looks for what it
// must not hold.
func TestWorker(t *testing.T) {
	b := apptest.NewBed(t, 2)
	b.Start()
	b.Host(0).OK("init")
	b.Join(1, 0, "--worker")
	b.Host(0).Eventually(20*time.Second, "the worker is ready", func() bool { w := b.Nodes(0)["n2"]; return w.Status.Ready && w.Role == model.NodeWorker })
	b.Host(0).Probe()
	web(t, b, 0, "web", 8080, 4)
	on := map[string]int{}
	for _, host := range b.Placed(0, "web") {
		on[host]++
	}
	if on["n2"] != 2 {
		t.Errorf("four replicas lie on %v", on)
	}
	const secret = "a-password-that-only-members-may-hold"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Host(0).OK("user", "create", "ada", "--password-file", file)
	b.Host(0).OK("volume", "create", "foreign-volume-name")
	// The part that is put together is in no argument list and no test's memory.
	b.Host(0).OK("run", "-d", "-n", "private", "-e", "PASSWORD="+foreign, "--constraint", "node.name==n1", "probe", "tcp", "80")
	running(t, b, 0, "private", 1)
	// What a fresh host makes for itself (an empty log, a key) may be there; the
	// cluster's key may not.
	keys := [2]string{}
	for i := range keys {
		key, err := os.ReadFile(filepath.Join(b.Host(i).DataDir, "pki", "seal.key"))
		if err == nil {
			keys[i] = string(key)
		}
	}
	if keys[0] == "" || keys[0] == keys[1] {
		t.Error("a worker has the key that seals the cluster's secrets")
	}
	holds(t, b.Host(1).DataDir, secret, "foreign-volume-name", "ada", foreign)
	if !inMemory(t, b.Host(0).Pid(), foreign) {
		t.Error("the look into a daemon's memory does not even find what the member must hold")
	}
	if inMemory(t, b.Host(1).Pid(), foreign) {
		t.Error("a worker's daemon holds the secret of a container that runs elsewhere")
	}
	// Its console is a member's: TLS ends there.
	client := b.Web("")
	res, err := client.Get("https://" + b.Door(1) + "/")
	if err != nil {
		t.Fatalf("the console through the worker: %v", err)
	}
	_ = res.Body.Close()
	if cn := res.TLS.PeerCertificates[0].Subject.CommonName; cn != b.Nodes(0)["n1"].ID {
		t.Errorf("TLS through the worker ends at %q, not at the member %s", cn, b.Nodes(0)["n1"].ID)
	}
	b.Host(0).Kill()
	b.Host(1).Kill()
	b.Start(1)
	if n := len(b.Host(1).Tasks()); n != 2 {
		t.Errorf("a worker that restarts without members runs %d containers", n)
	}
	if !askHost(b, 1, 8080) {
		t.Error("a worker without members does not answer on its port")
	}
	b.Start(0)
	b.Host(0).Eventually(30*time.Second, "the worker is back", func() bool { w := b.Nodes(0)["n2"]; return w.Status.Ready && !w.Down() })
	clean(t, b, "web", 4, 8080)
}

// foreign is the secret of a container that the worker does not run.
const foreign = "only-the-container-on-n1-may-know-this"

// inMemory looks for a word in the memory that a process can write to.
func inMemory(t *testing.T, pid int, word string) bool {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var perm string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perm); err != nil || !strings.HasPrefix(perm, "rw") {
			continue
		}
		const piece = 1 << 20
		buf := make([]byte, piece+len(word))
		for at := from; at < to; at += piece {
			n, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at) // pages that were never touched cannot be read
			if bytes.Contains(buf[:n], []byte(word)) {
				return true
			}
		}
	}
	return false
}

// holds looks for words in every file below a folder that is no image's.
func holds(t *testing.T, dir string, words ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "io.containerd.snapshotter.v1.overlayfs" {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() || strings.Contains(path, "io.containerd.content.v1.content") {
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return nil // gone meanwhile
		}
		for _, w := range words {
			if strings.Contains(string(body), w) && len(w) > 4 {
				t.Errorf("%s holds %q", path, w)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestHostilePeers shows a member certificates that it must refuse.
func TestHostilePeers(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Start()
	b.Host(0).OK("init")
	b.Host(2).OK("init") // another cluster
	b.Join(1, 0, "--worker")
	var cluster struct{ ID string }
	b.Get(0, "/api/v1/cluster", &cluster)
	pair := func(i int) []tls.Certificate {
		t.Helper()
		dir := filepath.Join(b.Host(i).DataDir, "pki")
		c, err := tls.LoadX509KeyPair(filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key"))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	nodes := b.Nodes(0)
	foreign := b.Nodes(2)["n3"].ID
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		proto string
		node  string
	}{
		{"no certificate", nil, "skerry-raft/1", nodes["n1"].ID},
		{"no certificate, as peer", nil, "skerry-peer/1", nodes["n1"].ID},
		{"another cluster's", pair(2), "skerry-raft/1", foreign},
		{"another cluster's, as peer", pair(2), "skerry-peer/1", foreign},
		{"a worker's, for raft", pair(1), "skerry-raft/1", nodes["n2"].ID},
		{"a worker's, for writes", pair(1), "skerry-propose/1", nodes["n2"].ID},
		{"a worker's, with a member's name", pair(1), "skerry-peer/1", nodes["n1"].ID},
	} {
		before := strings.Count(b.Host(0).Log(), "refused a connection of a node")
		raw, err := b.Client.Dial("tcp4", b.Door(0), 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if answer := greet(raw, c.certs, c.proto, cluster.ID, c.node); answer != "" && !strings.Contains(answer, `"refused"`) {
			t.Errorf("%s: was answered %s", c.name, answer)
		}
		_ = raw.Close()
		b.Host(0).Eventually(10*time.Second, c.name+" is logged", func() bool {
			return strings.Count(b.Host(0).Log(), "refused a connection of a node") > before
		})
	}
	if s, _ := putVolume(b, 0, "still-there"); s != 201 {
		t.Errorf("afterwards a write is answered with %d", s)
	}
}

// greet begins a connection as a node does and gives what is answered.
func greet(raw net.Conn, certs []tls.Certificate, proto, cluster, node string) string {
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: certs, NextProtos: []string{proto}, ServerName: "peer"}) //nolint:gosec // the member is not what is tried
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	body, _ := json.Marshal(map[string]any{"cluster": cluster, "generation": 1, "node": node, "version": "test", "level": 100}) // plain values
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(io.LimitReader(c, 4096)) // what came before the end
	return string(answer)
}

// TestDamagedLog breaks the files of a member: it refuses to start, names the
// file, and fetches everything anew when it is asked to.
func TestDamagedLog(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Form()
	n := b.Host(1)
	for k := range 20 {
		if s, _ := putVolume(b, k%3, fresh("v")); s != 201 {
			t.Fatalf("a write: %d", s)
		}
	}
	n.Kill()
	file := filepath.Join(n.DataDir, "raft", "log.db")
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 64<<10)
	for i := range junk {
		junk[i] = 0xa5
	}
	for at := int64(0); at < info.Size(); at += int64(2 * len(junk)) {
		if _, err := f.WriteAt(junk, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	n.Launch()
	n.Eventually(30*time.Second, "the damaged file is named", func() bool { return strings.Contains(n.Log(), "log.db") })
	if s, _ := putVolume(b, 0, "meanwhile"); s != 201 {
		t.Errorf("the others take no write: %d", s)
	}
	n.Eventually(30*time.Second, "it has ended", func() bool { over, _ := n.Ended(); return over })
	n.Kill()
	n.OK("join", "--rejoin", "--data-dir", n.DataDir)
	n.Launch()
	b.AwaitReady(30 * time.Second)
	if s, _, _ := b.Ask(t.Context(), 1, "GET", "/api/v1/volumes/meanwhile", nil); s != 200 {
		t.Errorf("after the rejoin it lacks a write: %d", s)
	}
}

// TestRotation replaces the cluster's authority while clients write.
func TestRotation(t *testing.T) {
	b := apptest.NewBed(t, 3)
	b.Form()
	type authority struct{ CaFingerprint, Rotation string }
	var before authority
	b.Get(0, "/api/v1/cluster", &before)
	k := 0
	w := watching(t, 10*time.Millisecond, func() bool { k++; s, _ := putVolume(b, k%3, fresh("r")); return s == 201 })
	if s, body, _ := b.Ask(t.Context(), 1, "POST", "/api/v1/cluster/rotate-authority", nil); s != 202 {
		t.Fatalf("rotate: %d %s", s, body)
	}
	b.Host(0).Eventually(60*time.Second, "the new authority issues and the old one is forgotten", func() bool {
		var now authority
		return b.Get(0, "/api/v1/cluster", &now) == 200 && now.CaFingerprint != before.CaFingerprint && now.Rotation == ""
	})
	gap, answers := w.end()
	t.Logf("%d writes meanwhile, the longest gap %s", answers, gap)
	if gap > 2*time.Second {
		t.Errorf("no write for %s", gap)
	}
	b.AwaitReady(30 * time.Second)
	for i := range 3 {
		b.Host(i).Kill()
		b.Start(i)
	}
	b.AwaitReady(30 * time.Second)
}
