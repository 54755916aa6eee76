package appliance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/netfw/ports"
	"github.com/skerryhq/skerry/raft/model"
)

// portHolderPath is where a node says which foreign process holds a port of it.
const portHolderPath = "/peer/v1/port-holder"

// portHolderTimeout bounds the question to one node: one that does not answer
// holds nothing up.
const portHolderTimeout = 2 * time.Second

// portHolders finds the foreign process that holds a port on any node of an
// environment: a published port answers on all of them.
type portHolders struct{ p *parts }

// holder asks this node, if it is of the environment, and all others at once.
func (h portHolders) holder(ctx context.Context, environmentID string, p model.PortSpec) (process, nodeName string, err error) {
	view := h.p.node.View()
	own, ok := view.Node(h.p.identity.ID)
	if environmentID == "" || ok && own.EnvironmentID == environmentID {
		name := ""
		if ok {
			name = own.Name
		}
		if process, err = holder(p); err != nil || process != "" {
			return process, name, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, portHolderTimeout)
	defer cancel()
	type answer struct{ process, node string }
	answers := make(chan answer, 256)
	var wg sync.WaitGroup
	for n := range view.NodesOf(environmentID) {
		if n.ID == h.p.identity.ID || n.Down() {
			continue
		}
		wg.Go(func() {
			if process, err := h.ask(ctx, n.ID, p); err == nil && process != "" {
				answers <- answer{process, n.Name}
				cancel()
			}
		})
	}
	go func() { wg.Wait(); close(answers) }()
	first, there := <-answers
	go func() { // whoever else holds it
		for range answers {
		}
	}()
	if !there {
		return "", "", nil
	}
	return first.process, first.node, nil
}

func (h portHolders) ask(ctx context.Context, nodeID string, p model.PortSpec) (string, error) {
	q := url.Values{"protocol": {string(p.Protocol)}, "port": {strconv.Itoa(int(p.HostPort))}}
	if p.HostIP.IsValid() {
		q.Set("ip", p.HostIP.String())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://peer"+portHolderPath+"?"+q.Encode(), nil)
	if err != nil {
		return "", fmt.Errorf("ask who holds a port: %w", err)
	}
	resp, err := h.p.peers.Peers().Client(nodeID).Do(req)
	if err != nil {
		return "", fmt.Errorf("ask who holds a port: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", peer.ReadError(resp)
	}
	var out struct {
		Process string `json:"process"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return "", fmt.Errorf("ask who holds a port: %w", err)
	}
	return out.Process, nil
}

// answerPortHolder answers portHolderPath.
func answerPortHolder(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	port, err := strconv.ParseUint(q.Get("port"), 10, 16)
	p := model.PortSpec{Protocol: model.Protocol(q.Get("protocol")), HostPort: uint16(port)}
	if ip := q.Get("ip"); err == nil && ip != "" {
		p.HostIP, err = netip.ParseAddr(ip)
	}
	if err != nil || p.Protocol != model.TCP && p.Protocol != model.UDP {
		peer.WriteError(w, model.Errorf(model.KindInvalid, "port_invalid", "%q is no port", r.URL.RawQuery))
		return
	}
	process, err := holder(p)
	if err != nil {
		peer.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"process": process}) // whoever asked has gone
}

// holder names the process outside Skerry that holds a port of this host.
func holder(p model.PortSpec) (string, error) {
	at := p.HostIP
	if !at.IsValid() {
		at = netip.IPv4Unspecified()
	}
	held, err := ports.Holders(string(p.Protocol), at, p.HostPort)
	if err != nil || len(held) == 0 {
		return "", err
	}
	return held[0].String(), nil
}
