package appliance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// certificateDesk judges uploads for the API and makes the listener and the
// events follow what the state says of them.
type certificateDesk struct {
	box   *pki.Box
	certs *pki.Certificates
	log   *slog.Logger
}

var _ api.Certificates = certificateDesk{}

// Accept checks an upload and seals its key.
func (d certificateDesk) Accept(chain, key []byte) (*model.ServerCertificate, error) {
	u, err := pki.ParseUploaded(chain, key, time.Now())
	if err != nil {
		return nil, err
	}
	return u.Sealed(d.box)
}

// Describe describes an uploaded certificate, or this node's own.
func (d certificateDesk) Describe(c *model.ServerCertificate) (api.Certificate, error) {
	info := d.certs.Own()
	if c != nil {
		var err error
		if info, err = pki.InfoOf(c); err != nil {
			return api.Certificate{}, err
		}
	}
	return api.Certificate{
		Uploaded: info.Uploaded, Subject: info.Subject, Issuer: info.Issuer, Names: info.Names,
		NotBefore: info.NotBefore, NotAfter: info.NotAfter, Fingerprint: info.Fingerprint,
	}, nil
}

// uploaded reads the state's certificate; rows are shared and never change, so
// the pointer tells whether it is another one.
func uploaded(v *state.View) (*model.ServerCertificate, error) {
	cl, ok := v.Cluster()
	if !ok {
		return nil, nil
	}
	return cl.Certificate, nil
}

// follow makes the listener serve what the state holds, until ctx ends.
func (d certificateDesk) follow(ctx context.Context, store *state.Store) error {
	var last *model.ServerCertificate
	err := state.Watch(ctx, store, uploaded, func(_ context.Context, c *model.ServerCertificate) error {
		if c != last {
			d.use(c)
			last = c
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that is how it ends
	}
	return err
}

// use serves c, or only the node's own when there is none or it does not open.
func (d certificateDesk) use(c *model.ServerCertificate) {
	if c == nil {
		d.certs.Use(nil)
		return
	}
	u, err := pki.Unseal(c, d.box)
	if err != nil {
		d.log.Error("the uploaded certificate cannot be used: upload it again", "err", err)
	}
	d.certs.Use(u) // nil with an error
}

// warnDays are the days before the end at which a warning is given; -1 is the
// end itself.
var warnDays = []int{-1, 1, 3, 7, 14, 30}

// dueWarning says which warning about c is to be given now, if any.
func dueWarning(c *model.ServerCertificate, now time.Time) (days int, due bool) {
	if c == nil {
		return 0, false
	}
	left := c.NotAfter.Sub(now)
	for _, d := range warnDays {
		if d < 0 && left > 0 || d > 0 && left > time.Duration(d)*24*time.Hour {
			continue
		}
		return d, c.Warned == 0 || c.Warned > d
	}
	return 0, false
}

// proposer is the part of the node that warn needs.
type proposer interface {
	Propose(ctx context.Context, cmds ...command.Command) (node.Result, error)
}

// warnEvery is how often the end of the certificate is looked at.
const warnEvery = 10 * time.Minute

// warn tells of the certificate's end, a month before and then more often,
// until ctx ends: at once when another certificate comes, and with time. Every
// node does; the state takes each step once.
func (d certificateDesk) warn(ctx context.Context, store *state.Store, to proposer) error {
	tick := time.NewTicker(warnEvery)
	defer tick.Stop()
	for {
		turn, done := context.WithCancel(ctx) // ends this turn's watch with it
		c, changed, err := state.Changed(turn, store, uploaded)
		if err != nil {
			done()
			return err
		}
		if days, due := dueWarning(c, time.Now()); due {
			origin := model.Origin{Actor: "system:certificate", Time: time.Now().UTC()}
			_, err := to.Propose(ctx, &command.WarnCertificate{Head: command.By(origin), Days: days})
			if e, ok := errors.AsType[*model.Error](err); err != nil && ctx.Err() == nil && (!ok || e.Kind != model.KindConflict) {
				d.log.Warn("the end of the certificate was not told, trying again", "err", err, "days", days)
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-changed:
		}
		done()
		if ctx.Err() != nil {
			return nil
		}
	}
}
