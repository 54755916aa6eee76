package control

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// RotationPatience is how long a step of the authority's replacement waits for
// nodes that are down. It does not wait less for those that are up.
const RotationPatience = 15 * time.Minute

// authority is what the replacement of the authority depends on.
type authority struct {
	cluster *model.Cluster
	nodes   []*model.Node
}

// rotate moves the replacement of the cluster's authority on when every node
// has followed.
func rotate(ctx context.Context, cfg Config, log *slog.Logger) error {
	read := func(v *state.View) (authority, error) {
		c, _ := v.Cluster()
		if c == nil || c.Rotation == nil {
			return authority{cluster: c}, nil // nodes change often; most of the time it does not matter
		}
		return authority{cluster: c, nodes: slices.Collect(v.Nodes())}, nil
	}
	var phase model.RotationPhase
	var since time.Time // by the clock of this process; a new leader begins anew
	for {
		watching, cancel := context.WithCancel(ctx)
		seen, changed, err := state.Changed(watching, cfg.Store, read)
		if err != nil {
			cancel()
			return err
		}
		again := time.Duration(0)
		if seen.cluster != nil && seen.cluster.Rotation != nil {
			if now := seen.cluster.Rotation.Phase; now != phase {
				phase, since = now, time.Now()
			}
			left := RotationPatience - time.Since(since)
			cmds, err := rotationStep(seen, left <= 0)
			if err != nil {
				log.Error("the authority's replacement cannot go on", "err", err)
			}
			if again = max(left, 0); len(cmds) > 0 {
				again = time.Second
				if err := propose(ctx, cfg, log, cmds); err != nil && ctx.Err() == nil {
					log.Warn("a step of the authority's replacement was not proposed, trying again", "err", err)
				}
			}
		} else {
			phase = ""
		}
		err = wait(ctx, changed, again)
		cancel()
		if err != nil {
			return err
		}
	}
}

// rotationStep gives the commands of the next step, if every node has followed
// the present one. impatient: nodes that are down are waited for no longer.
func rotationStep(a authority, impatient bool) ([]command.Command, error) {
	step, want := command.RotationSwitch, a.cluster.Rotation.OtherCert
	if a.cluster.Rotation.Phase == model.RotationIssue {
		step, want = command.RotationFinish, a.cluster.CACert
	}
	mark, err := fingerprint(want)
	if err != nil {
		return nil, err
	}
	var missed []*model.Node
	for _, n := range a.nodes {
		followed := slices.Contains(n.Status.Trusts, mark)
		if step == command.RotationFinish {
			followed = n.Status.Authority == mark
		}
		switch {
		case followed:
		case n.Down() && impatient:
			missed = append(missed, n)
		default:
			return nil, nil
		}
	}
	cmds := []command.Command{&command.RotateAuthority{Head: command.By(origin("rotation")), Step: step}}
	for _, n := range missed {
		h := n.Health
		h.Reason = "it was away while the cluster's authority was replaced and trusts only the old one; run `skerry join --rejoin` on it when it is back"
		if h != n.Health {
			cmds = append(cmds, &command.SetNodeHealth{Head: command.By(origin("rotation")), NodeID: n.ID, Health: h})
		}
	}
	return cmds, nil
}

// fingerprint is that of a certificate in PEM, as nodes report it.
func fingerprint(text []byte) (string, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("read the authority's certificate: it is not PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("read the authority's certificate: %w", err)
	}
	return pki.Fingerprint(c), nil
}
