package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

func TestRotationStep(t *testing.T) {
	old, err := pki.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	next, err := pki.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	node := func(id string, down bool, authority *pki.Authority, trusts ...*pki.Authority) *model.Node {
		n := &model.Node{Meta: model.Meta{ID: id, Name: id}}
		n.Status.Authority = authority.Fingerprint()
		for _, a := range trusts {
			n.Status.Trusts = append(n.Status.Trusts, a.Fingerprint())
		}
		if down {
			n.Health.State = model.NodeDown
		}
		return n
	}
	trust := &model.Cluster{CACert: old.CertPEM, Rotation: &model.Rotation{Phase: model.RotationTrust, OtherCert: next.CertPEM}}
	issue := &model.Cluster{CACert: next.CertPEM, Rotation: &model.Rotation{Phase: model.RotationIssue, OtherCert: old.CertPEM}}
	for _, c := range []struct {
		name      string
		cluster   *model.Cluster
		nodes     []*model.Node
		impatient bool
		want      string
	}{
		{"all trust it", trust, []*model.Node{node("a", false, old, old, next), node("b", false, old, old, next)}, false, "[switch]"},
		{"one does not yet", trust, []*model.Node{node("a", false, old, old, next), node("b", false, old, old)}, false, "[]"},
		{"one that is up is waited for", trust, []*model.Node{node("b", false, old, old)}, true, "[]"},
		{"one that is down is waited for", trust, []*model.Node{node("a", false, old, old, next), node("b", true, old, old)}, false, "[]"},
		{"but not for ever", trust, []*model.Node{node("a", false, old, old, next), node("b", true, old, old)}, true, "[switch b]"},
		{"all have its certificate", issue, []*model.Node{node("a", false, next), node("b", false, next)}, false, "[finish]"},
		{"one has the old one's", issue, []*model.Node{node("a", false, next), node("b", false, old)}, false, "[]"},
		{"and is down", issue, []*model.Node{node("a", false, next), node("b", true, old)}, true, "[finish b]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmds, err := rotationStep(authority{cluster: c.cluster, nodes: c.nodes}, c.impatient)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, cmd := range cmds {
				switch cmd := cmd.(type) {
				case *command.RotateAuthority:
					got = append(got, string(cmd.Step))
				case *command.SetNodeHealth:
					got = append(got, cmd.NodeID)
					if cmd.Health.State != model.NodeDown || !strings.Contains(cmd.Health.Reason, "skerry join --rejoin") {
						t.Errorf("it is told %+v", cmd.Health)
					}
				}
			}
			if s := fmt.Sprint(got); s != c.want {
				t.Fatalf("got %s, want %s", s, c.want)
			}
		})
	}
}

// TestRotation lets the loop lead a rotation to its end while the nodes follow.
func TestRotation(t *testing.T) {
	onBed(t, func(b *bed) {
		next, err := pki.NewAuthority(time.Now())
		if err != nil {
			b.Fatal(err)
		}
		follow := func(id, authority string, trusts ...string) {
			do(b.T, b.n, &command.SetNodeStatus{Head: by(), NodeID: id, Status: model.NodeStatus{Ready: true, CPUs: 4, MemoryBytes: 8 << 30, Authority: authority, Trusts: trusts}})
		}
		phase := func() string {
			c, _ := b.n.View().Cluster()
			if c.Rotation == nil {
				return "none"
			}
			return string(c.Rotation.Phase)
		}
		want := func(what string) {
			b.Helper()
			time.Sleep(2 * time.Second)
			if got := phase(); got != what {
				b.Fatalf("the rotation is at %s, not at %s", got, what)
			}
		}
		do(b.T, b.n, &command.RotateAuthority{Head: by(), Step: command.RotationBegin, NextCert: next.CertPEM, NextKey: model.Sealed("key")})
		want("trust")
		follow(bedNodes[0], "old", "old", next.Fingerprint())
		follow(bedNodes[1], "old", "old", next.Fingerprint())
		want("trust")
		b.alive(bedNodes[2], false)
		time.Sleep(RotationPatience - time.Minute)
		want("trust")
		time.Sleep(2 * time.Minute)
		want("issue")
		n, _ := b.n.View().Node(bedNodes[2])
		if !strings.Contains(n.Health.Reason, "--rejoin") {
			b.Errorf("nobody is told what the one that was away needs: %+v", n.Health)
		}
		follow(bedNodes[0], next.Fingerprint())
		follow(bedNodes[1], next.Fingerprint())
		b.alive(bedNodes[2], true)
		time.Sleep(time.Second)
		want("issue")
		follow(bedNodes[2], next.Fingerprint())
		want("none")
	})
}
