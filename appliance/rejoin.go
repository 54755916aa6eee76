package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// rejoinPath is where the leader takes a member out of raft that is about to put
// its own copy of the state aside: one that has forgotten what it voted for must
// not vote.
const rejoinPath = "/peer/v1/rejoin"

// rejoinFile says that the next start puts this member's copy of the state aside
// and fetches it anew.
const rejoinFile = "rejoin"

// rejoinPatience is how long a start waits for a member that answers.
const rejoinPatience = 60 * time.Second

// MarkRejoin makes the next start of a member fetch the state anew from the
// others, with the certificate that it has. It works while the daemon does not
// start because its copy is damaged. Errors: "not_a_member".
func MarkRejoin(cfg config.Config) error {
	id, err := readIdentity(cfg.DataDir)
	if err == nil && id.Role == model.NodeMember {
		return markRejoin(cfg.DataDir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return notAMember(cfg.DataDir)
}

func notAMember(dataDir string) error {
	return model.Errorf(model.KindConflict, "not_a_member", "the node in %s is no member of a cluster, so it has no copy of the state to fetch anew; join it with a token", dataDir)
}

func markRejoin(dataDir string) error {
	if err := os.WriteFile(filepath.Join(dataDir, rejoinFile), nil, 0o600); err != nil {
		return fmt.Errorf("mark the node to fetch the state anew: %w", err)
	}
	return nil
}

// fetchAnew puts the member's copy of the state aside where that was asked for,
// after the leader has taken it out of raft. It may be cut short and repeated.
func (a *Appliance) fetchAnew(ctx context.Context, p *parts) error {
	mark := filepath.Join(a.cfg.DataDir, rejoinFile)
	if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for %s: %w", mark, err)
	}
	wait, cancel := context.WithTimeoutCause(ctx, rejoinPatience, errors.New("no member led the cluster in that time"))
	defer cancel()
	for {
		err := a.askOut(wait, p)
		if err == nil {
			break
		}
		a.log.Warn("the other members have not let this one start over yet, trying again", "err", err)
		select {
		case <-wait.Done():
			return model.Errorf(model.KindUnavailable, "rejoin_failed", "no leader of the cluster could be reached to start over with (%s): start this node again when a quorum of the others is up, or remove %s to keep its own copy of the state", err.Error(), mark)
		case <-time.After(time.Second):
		}
	}
	path, err := node.PutAside(a.cfg.DataDir)
	if err != nil && model.CodeOf(err) != "not_found" { // a start that was cut short has done it
		return err
	}
	a.log.Warn("this member fetches the state anew; its old copy was put aside", "path", path)
	if err := os.Remove(mark); err != nil {
		return fmt.Errorf("forget the mark: %w", err)
	}
	return nil
}

// askOut asks one member after the other until the leader has answered.
func (a *Appliance) askOut(ctx context.Context, p *parts) error {
	err := errors.New("this node knows no other member")
	for _, m := range p.peers.Peers().Members() {
		if err = postEmpty(ctx, p.peers.Peers().Client(m.ID), rejoinPath); err == nil {
			return nil
		}
	}
	return err
}

func postEmpty(ctx context.Context, c *http.Client, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://peer"+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask a member: %w", err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("ask a member: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return peer.ReadError(resp)
	}
	return nil
}

// rejoined takes the asking member out of raft; the autopilot lets it in again as
// a standby. Only the leader does so.
type rejoined struct {
	p   *parts
	log *slog.Logger
}

// ServeHTTP answers rejoinPath.
func (r rejoined) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	id, _ := callerOf(req.Context())
	m, err := r.p.node.Members(req.Context())
	switch _, there := m.Server(id); {
	case err != nil:
	case m.LeaderID != r.p.identity.ID:
		err = model.Errorf(model.KindUnavailable, "not_leader", "this member does not lead the cluster")
	case there:
		r.log.Warn("a member starts over with an empty copy of the state", "member", id)
		err = r.p.node.Remove(req.Context(), id)
	}
	if err != nil {
		peer.WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
