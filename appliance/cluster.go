package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// replica is the member's state while it is open: what runs before it is opened
// and after it was closed sees nothing.
type replica struct{ atomic.Pointer[node.Node] }

func (r *replica) view() *state.View {
	if n := r.Load(); n != nil {
		return n.View()
	}
	return nil
}

// listenAddress is what others reach this node at, host:port.
func (a *Appliance) listenAddress() string {
	port := netip.MustParseAddrPort(a.cfg.Listen).Port()
	return net.JoinHostPort(advertised(a.cfg), strconv.Itoa(int(port)))
}

// openPeers opens the way to the other nodes. Nothing is sent yet.
func (a *Appliance) openPeers(p *parts) error {
	r := &p.replica
	notHere := func() error {
		return model.Errorf(model.KindUnavailable, "closing", "this member is starting or ending")
	}
	cfg := peer.Config{
		NodeID: p.identity.ID, Version: version, DataDir: a.cfg.DataDir, Certs: p.certs,
		Directory: peer.Replica{View: r.view, Base: func() (string, uint64) { own := p.record.now(); return own.ClusterID, own.Generation }},
		Advertise: a.listenAddress,
		Log:       a.log,
		OnNewer: func(generation uint64, nodeID string) {
			if p.recovering.Load() {
				return
			}
			if p.identity.Role == model.NodeWorker { // it obeys whoever is the newest
				if err := p.record.raise(generation); err != nil {
					a.log.Error("the cluster's new generation is not written down", "generation", generation, "err", err)
				}
				return
			}
			p.stop(outcast{model.Errorf(model.KindConflict, "generation_old",
				"node %s is of generation %d of this cluster and this node of an earlier one: the cluster was recovered without it. Run `skerry reset --data` here and join it again", nodeID, generation)})
		},
		OnExpelled: func(err *model.Error) { p.stop(outcast{err}) },
	}
	if p.identity.Role != model.NodeWorker {
		cfg.Apply = func(ctx context.Context, envelopes [][]byte) (uint64, []command.Outcome, error) {
			n := r.Load()
			if n == nil {
				return 0, nil, notHere()
			}
			res, err := n.ProposeEncoded(ctx, envelopes)
			return res.Index, res.Outcomes, err
		}
		cfg.ReadIndex = func(ctx context.Context) (uint64, error) {
			n := r.Load()
			if n == nil {
				return 0, notHere()
			}
			return n.LocalReadIndex(ctx)
		}
		cfg.Admitter = a.admission(p)
	}
	var err error
	p.peers, err = peer.New(cfg)
	return err
}

// outcast is the end of a node that its cluster takes no more.
type outcast struct{ error }

// Unwrap gives the sentence.
func (o outcast) Unwrap() error { return o.error }

// ExitStatus is one that the service manager knows: starting again would change
// nothing. It is EX_CONFIG of sysexits.h.
func (outcast) ExitStatus() int { return 78 }

// stop ends the daemon with a sentence, once.
func (p *parts) stop(err error) {
	select {
	case p.fatal <- err:
	default:
	}
}

// certificateHosts are the names and addresses that a member's certificate
// covers: its own, and those of the workers, whose browsers it serves.
func (a *Appliance) certificateHosts(p *parts) []string {
	hosts := hostNames(a.cfg)
	v := p.replica.view()
	if v == nil {
		return hosts
	}
	for n := range v.Nodes() {
		if n.Member() {
			continue
		}
		hosts = append(hosts, n.Name)
		if host, _, err := net.SplitHostPort(n.Status.Address); err == nil {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// followAuthority keeps the node's trust and certificate as the state says.
func (a *Appliance) followAuthority(ctx context.Context, p *parts) error {
	type want struct {
		cluster *model.Cluster
		hosts   []string
	}
	read := func(v *state.View) (want, error) {
		cl, _ := v.Cluster()
		var hosts []string
		for n := range v.Nodes() {
			if !n.Member() {
				hosts = append(hosts, n.Name+" "+n.Status.Address)
			}
		}
		return want{cl, hosts}, nil
	}
	return state.Watch(ctx, p.node.Store(), read, func(ctx context.Context, w want) error {
		if w.cluster == nil {
			return nil
		}
		for {
			err := p.certs.Follow(ctx, w.cluster, p.box, time.Now())
			if err == nil || ctx.Err() != nil {
				return ctx.Err()
			}
			a.log.Warn("the cluster's authority is not followed, trying again", "err", err)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Second):
			}
		}
	})
}

// rememberCluster writes down with the identity what the state says about the
// cluster that the node belongs to.
func (a *Appliance) rememberCluster(p *parts) error {
	cl, ok := p.node.View().Cluster()
	if !ok {
		return nil
	}
	return p.record.change(func(i *identity) {
		i.Role, i.ClusterID, i.Generation = model.NodeMember, cl.ID, max(1, cl.Generation, i.Generation)
	})
}

// rotator begins the replacement of the cluster's authority.
type rotator struct{ p *parts }

var _ api.Rotator = rotator{}

// RotateAuthority makes the next authority known.
func (r rotator) RotateAuthority(ctx context.Context, origin model.Origin) error {
	next, err := pki.NewAuthority(time.Now())
	if err != nil {
		return err
	}
	sealed, err := r.p.box.Seal("ca-key", next.KeyPEM)
	if err != nil {
		return err
	}
	_, err = r.p.node.Propose(ctx, &command.RotateAuthority{Head: command.By(origin), Step: command.RotationBegin, NextCert: next.CertPEM, NextKey: sealed})
	return err
}

// quorumPath is where a leader tells other nodes of the quorum.
const quorumPath = "/peer/v1/quorum"

// quorumReader says who votes and who leads.
type quorumReader struct{ p *parts }

var _ api.QuorumReader = quorumReader{}

// Quorum asks the leader, who alone knows how far each member is; without one it
// says what this node knows.
func (q quorumReader) Quorum(ctx context.Context) (*api.Quorum, error) {
	own, err := q.local(ctx)
	if err != nil || own.LeaderID == "" || own.LeaderID == q.p.identity.ID {
		return own, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errors.New("the leader did not answer in time"))
	defer cancel()
	out, err := q.ask(ctx, own.LeaderID)
	if err != nil {
		own.Summary = "the leader does not answer this node: what it knows of the others may be old"
		return own, nil
	}
	out.AppliedIndex = own.AppliedIndex
	return out, nil
}

func (q quorumReader) local(ctx context.Context) (*api.Quorum, error) {
	m, err := q.p.node.Members(ctx)
	if err != nil {
		return nil, err
	}
	return quorumOf(&m, q.p.node.View(), q.p.node.AppliedIndex(), time.Now()), nil
}

func (q quorumReader) ask(ctx context.Context, leader string) (*api.Quorum, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://peer"+quorumPath, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the leader: %w", err)
	}
	resp, err := q.p.peers.Peers().Client(leader).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the leader: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, peer.ReadError(resp)
	}
	out := new(api.Quorum)
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("ask the leader: %w", err)
	}
	return out, nil
}

// ServeHTTP answers other members.
func (q quorumReader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := q.local(r.Context())
	if err != nil {
		peer.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // whoever asked has gone
}

// memberAddresses lists where new hosts can dial, this node first.
func (a *Appliance) memberAddresses(p *parts) []string {
	out := []string{a.listenAddress()}
	for n := range p.node.View().Nodes() {
		if n.Member() && !n.Down() && n.Status.Address != "" && !slices.Contains(out, n.Status.Address) {
			out = append(out, n.Status.Address)
		}
	}
	return out
}

// newJoinToken makes the text of a join token.
func (p *parts) newJoinToken(role model.NodeRole, environment string, expires time.Time) (text string, hash []byte, err error) {
	t := peer.NewToken(role, environment, expires, p.certs.Signer().Pin())
	return t.String(), t.Hash(), nil
}

// keysDir is where the node's keys are.
func (a *Appliance) keysDir() string { return filepath.Join(a.cfg.DataDir, "pki") }
