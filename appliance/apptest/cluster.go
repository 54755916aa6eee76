package apptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// NotSent is the status of a request that found no daemon.
const NotSent = -1

// Quorum is what GET /cluster/quorum says.
type Quorum struct {
	Generation uint64 `json:"generation"`
	LeaderID   string `json:"leaderId"`
	Voters     int    `json:"voters"`
	CanLose    int    `json:"canLose"`
	Degraded   bool   `json:"degraded"`
	Summary    string `json:"summary"`
	Members    []struct {
		NodeID string `json:"nodeId"`
		Name   string `json:"name"`
		Part   string `json:"part"` // voter or standby
		Leader bool   `json:"leader"`
		Alive  bool   `json:"alive"`
	} `json:"members"`
}

// Form starts all hosts, makes a cluster on host 0, lets the others join as
// members, and waits until all are ready.
func (b *Bed) Form() {
	b.t.Helper()
	b.Start()
	b.nodes[0].OK("init")
	for i := 1; i < len(b.nodes); i++ {
		b.Join(i, 0)
	}
	b.AwaitReady(30 * time.Second)
}

// Token makes a join token on a host. Flags as of `skerry token create`.
func (b *Bed) Token(via int, flags ...string) string {
	b.t.Helper()
	var made struct {
		Text string `json:"text"`
	}
	b.nodes[via].JSON(&made, append([]string{"token", "create"}, flags...)...)
	if made.Text == "" {
		b.t.Fatal("skerry token create --json gives no text")
	}
	return made.Text
}

// Door is where a host's control plane listens.
func (b *Bed) Door(i int) string {
	return netip.AddrPortFrom(b.nodes[i].Host.Address, 7443).String()
}

// Join lets host i join through a member, with a fresh token; flags as of
// `skerry join`.
func (b *Bed) Join(i, via int, flags ...string) {
	b.t.Helper()
	var create []string
	if slices.Contains(flags, "--worker") {
		create = []string{"--role", "worker"}
	}
	b.nodes[i].OK(append([]string{"join", b.Token(via, create...), b.Door(via)}, flags...)...)
}

// Nodes lists the cluster's nodes by name, as one host sees them; nil if it does
// not answer.
func (b *Bed) Nodes(via int) map[string]model.Node {
	b.t.Helper()
	var page struct {
		Items []model.Node `json:"items"`
	}
	if b.Get(via, "/api/v1/nodes", &page) != http.StatusOK {
		return nil
	}
	out := map[string]model.Node{}
	for _, n := range page.Items {
		out[n.Name] = n
	}
	return out
}

// Get reads JSON from a host's local socket and gives the status; 0 if it does
// not answer.
func (b *Bed) Get(via int, path string, into any) int {
	status, body, _ := b.Ask(context.Background(), via, http.MethodGet, path, nil)
	if status == http.StatusOK && into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			b.t.Errorf("GET %s: %v", path, err)
		}
	}
	return status
}

// Ask sends a request to a host's local socket; in is sent as JSON, headers
// come in pairs. The status is 0 if nothing was answered, NotSent if there was
// nobody to send it to. It may be called by several goroutines.
func (b *Bed) Ask(ctx context.Context, via int, method, path string, in any, headers ...string) (status int, body []byte, header http.Header) {
	var r io.Reader
	if in != nil {
		sent, err := json.Marshal(in)
		if err != nil {
			b.t.Errorf("%s %s: %v", method, path, err)
			return 0, nil, nil
		}
		r = bytes.NewReader(sent)
		headers = append(headers, "Content-Type", "application/json")
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://local"+path, r)
	if err != nil {
		b.t.Errorf("%s %s: %v", method, path, err)
		return 0, nil, nil
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := b.nodes[via].Client().Do(req)
	if op, is := errors.AsType[*net.OpError](err); is && op.Op == "dial" {
		return NotSent, []byte(err.Error()), nil
	}
	if err != nil {
		return 0, []byte(err.Error()), nil
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		return 0, []byte(err.Error()), nil
	}
	return res.StatusCode, body, res.Header
}

// Write makes a tenant through a host, which is one write, and says whether it
// was acknowledged. It may be called by several goroutines.
func (b *Bed) Write(via int, name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	status, _, _ := b.Ask(ctx, via, http.MethodPost, "/api/v1/tenants", map[string]any{"name": name})
	return status == http.StatusCreated
}

// AwaitReady waits until the given hosts (all without one) say that all of them
// are ready and up, and know a leader.
func (b *Bed) AwaitReady(limit time.Duration, hosts ...int) {
	b.t.Helper()
	hosts = b.these(hosts)
	why := ""
	ready := func() bool {
		for _, via := range hosts {
			nodes := b.Nodes(via)
			for _, i := range hosts {
				n, ok := nodes[b.nodes[i].Name]
				if !ok || !n.Status.Ready || n.Health.State == model.NodeDown {
					why = fmt.Sprintf("%s does not believe %s: there %v, %+v %+v", b.nodes[via].Name, b.nodes[i].Name, ok, n.Health, n.Status.Conditions)
					return false
				}
			}
			if q, ok := b.Quorum(via); len(b.nodes) > 1 && (!ok || q.LeaderID == "") {
				why = b.nodes[via].Name + " knows no leader"
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(limit); !ready(); {
		if time.Now().After(deadline) {
			b.t.Fatalf("not ready within %s: %s", limit, why)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Quorum is raft's health as one host sees it. A worker has none of its own.
func (b *Bed) Quorum(via int) (q Quorum, ok bool) {
	return q, b.Get(via, "/api/v1/cluster/quorum", &q) == http.StatusOK
}

// Leader is the host that leads, as the host via sees it; it waits for one.
func (b *Bed) Leader(via int) int {
	b.t.Helper()
	leader := -1
	b.nodes[via].Eventually(30*time.Second, "there is a leader", func() bool {
		q, ok := b.Quorum(via)
		if !ok {
			return false
		}
		for _, m := range q.Members {
			if m.Leader {
				leader = slices.IndexFunc(b.nodes, func(n *Node) bool { return n.Name == m.Name })
			}
		}
		return leader >= 0
	})
	return leader
}

// Other gives the first host that is none of the given ones.
func (b *Bed) Other(than ...int) int {
	for i := range b.nodes {
		if !slices.Contains(than, i) {
			return i
		}
	}
	b.t.Fatal("there is no other host")
	return -1
}

// Web is an HTTPS client in the client's namespace, as a browser or a program
// outside; it trusts any certificate. token may be empty.
func (b *Bed) Web(token string) *http.Client {
	transport := &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return b.Client.Dial(network, address, 2*time.Second)
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // who answers is not what is tried
		MaxIdleConnsPerHost: 16,
	}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: bearer{transport, token}, Timeout: 15 * time.Second}
}

type bearer struct {
	next  http.RoundTripper
	token string
}

// RoundTrip adds the token.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

// Placed tells on which host each running container of a service's app is, by
// the container's name, as the host via sees it.
func (b *Bed) Placed(via int, app string) map[string]string {
	b.t.Helper()
	var page struct {
		Items []model.Container `json:"items"`
	}
	if b.Get(via, "/api/v1/containers?limit=500", &page) != http.StatusOK {
		return nil
	}
	names := map[string]string{}
	for name, n := range b.Nodes(via) {
		names[n.ID] = name
	}
	out := map[string]string{}
	for _, c := range page.Items {
		if c.AppName == app && c.Status.Phase == model.PhaseRunning {
			out[c.Name] = names[c.Assign.NodeID]
		}
	}
	return out
}

// Tasks lists what a host's engine really runs, by container id, sorted.
func (n *Node) Tasks() []string {
	n.t.Helper()
	var out []string
	for _, argv := range n.family() {
		if i := slices.Index(argv, "-id"); i >= 0 && i+1 < len(argv) && strings.Contains(argv[0], "containerd-shim") {
			out = append(out, argv[i+1])
		}
	}
	slices.Sort(out)
	return out
}

// Published tells where a host's packet filter sends each published port:
// "8080" -> "10.42.0.2:80", sorted.
func (n *Node) Published() map[string][]string {
	n.t.Helper()
	out := map[string][]string{}
	for line := range strings.Lines(n.Host.Run("iptables-save", "-t", "nat")) {
		words := strings.Fields(line)
		port, to := slices.Index(words, "--dport"), slices.Index(words, "--to-destination")
		if port < 0 || to < 0 || to+1 >= len(words) {
			continue
		}
		out[words[port+1]] = append(out[words[port+1]], words[to+1])
	}
	for _, to := range out {
		slices.Sort(to)
	}
	return out
}
