package peer

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/model"
)

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRotation replaces the authority of running nodes, step by step and not at
// the same moment everywhere: no connection is refused, new or old.
func TestRotation(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	b := r.add("b", model.NodeMember, nil)
	c := r.add("c", model.NodeMember, nil)
	w := r.add("w", model.NodeWorker, nil)
	members, all := []*host{a, b, c}, []*host{a, b, c, w}

	old, next := r.ca, newAuthority(t)
	sealed := func(ca *pki.Authority) model.Sealed {
		s, err := r.box.Seal("ca-key", ca.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	version := uint64(1)
	follow := func(cl model.Cluster) {
		t.Helper()
		version++
		cl.Version = version
		for _, h := range members {
			if err := h.certs.Follow(t.Context(), &cl, r.box, time.Now()); err != nil {
				t.Fatal(err)
			}
			h.dir.set(func(d *nodes) { d.trust = pki.TrustText(&cl) })
			<-time.After(100 * time.Millisecond) // the others are a step behind for a while
		}
	}
	// Before the next step every node must have followed, as the control loop sees to.
	settled := func(authority string, trusts int) {
		t.Helper()
		within(t, 3*authorityEvery, "all nodes followed", func() bool {
			for _, h := range all {
				if h.certs.Authority() != authority || len(h.certs.Trusts()) != trusts {
					return false
				}
			}
			return true
		})
	}

	long, err := b.Stream().Dial("a", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	in, err := a.Stream().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()

	stop := make(chan struct{})
	var dials atomic.Int64
	var work sync.WaitGroup
	for _, from := range all {
		for _, to := range all {
			if from == to {
				continue
			}
			work.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
					}
					conn, err := from.peers.dial(t.Context(), to.id, protoPeer) // a new connection each time
					if err != nil {
						t.Errorf("%s -> %s: %v", from.id, to.id, err)
						return
					}
					dials.Add(1)
					_ = conn.Close()
				}
			})
		}
	}
	follow(model.Cluster{CACert: old.CertPEM, CAKey: sealed(old), Rotation: &model.Rotation{Phase: model.RotationTrust, OtherCert: next.CertPEM, OtherKey: sealed(next)}})
	settled(old.Fingerprint(), 2)
	follow(model.Cluster{CACert: next.CertPEM, CAKey: sealed(next), Rotation: &model.Rotation{Phase: model.RotationIssue, OtherCert: old.CertPEM}})
	settled(next.Fingerprint(), 2)
	follow(model.Cluster{CACert: next.CertPEM, CAKey: sealed(next)})
	settled(next.Fingerprint(), 1)
	close(stop)
	work.Wait()
	t.Logf("%d connections were made meanwhile", dials.Load())

	if _, err := long.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	_ = in.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := in.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("the connection of before does not work: %v", err)
	}
	// The authority of before counts no more.
	_, answer, err := hostile(t, a, certificates(t, old, "b", model.NodeMember).Node(), protoPeer, greeting("b"))
	if err != nil || answer.Refused == nil {
		t.Fatalf("%+v, %v", answer, err)
	}
	code(t, answer.Refused.Err(), "other_cluster")
	// A state of the past takes nobody back, as when the log is read after a start.
	past := model.Cluster{Version: 1, CACert: old.CertPEM, CAKey: sealed(old)}
	if err := a.certs.Follow(t.Context(), &past, r.box, time.Now()); err != nil || a.certs.Authority() != next.Fingerprint() || len(a.certs.Trusts()) != 1 {
		t.Fatalf("the past was followed: %v", err)
	}
	// It all survives a restart.
	again, err := pki.OpenAuthority(a.certs.Dir(), r.box, time.Now())
	if err != nil || again.Fingerprint() != next.Fingerprint() {
		t.Fatalf("%v", err)
	}
}

// TestWorkerCertificate holds that a worker gets a certificate for itself only,
// for the key that it joined with, and naming nothing that people connect to.
func TestWorkerCertificate(t *testing.T) {
	r := newRig(t)
	a := r.add("a", model.NodeMember, nil)
	w := r.add("w", model.NodeWorker, nil)
	request, err := w.certs.Key().Request()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := w.askCertificate(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := leafOf(chain)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.certs.Verify(certsOf(t, chain), time.Now())
	if err != nil || p.ID != "w" || p.Role != model.NodeWorker || len(leaf.DNSNames) != 1 || len(leaf.IPAddresses) != 0 {
		t.Fatalf("%+v %v %v %v", p, leaf.DNSNames, leaf.IPAddresses, err)
	}
	key, err := pki.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.askCertificate(t.Context(), stranger)
	code(t, err, "identity_changed")
	_, err = w.askCertificate(t.Context(), []byte("garbage"))
	code(t, err, "request_invalid")
	a.dir.set(func(d *nodes) { delete(d.all, "w") })
	_, err = w.askCertificate(t.Context(), request)
	code(t, err, "node_unknown")
}
