package mirror

import (
	"errors"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/model"
)

// Pusher gives a client that sends images to a registry outside as the caller
// may: with the credentials that he brings along and no others, and to hosts that
// no administrator named only by https on public addresses, unless he is one. The
// caller closes it. Errors are *model.Error.
func (m *Mirror) Pusher(c access.Caller, host, username, password string) (*remote.Client, error) {
	own := credentials{username, password}
	u, ok := m.cfg.Cluster.View().UpstreamByName(host)
	if !ok {
		w, err := m.unnamed(c, host, own)
		if err != nil {
			return nil, err
		}
		if w.once {
			return w.client, nil
		}
		u = &model.Upstream{Meta: model.Meta{Name: host}} // the shared client is not ours to close
	}
	cfg := settings(u)
	cfg.Username, cfg.Password, cfg.PublicOnly = username, password, !ok
	client, err := m.dial(cfg)
	if err != nil {
		return nil, model.Errorf(model.KindInvalid, "registry_host_invalid", "%v", err)
	}
	return client, nil
}

// ExplainPush gives a registry's failure to take an image the sentence and the
// kind that people are answered with. Other errors come back as they are.
func ExplainPush(what string, err error) error {
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		return err
	}
	kind, code := model.KindUnavailable, "registry_unreachable"
	switch e.Kind {
	case remote.Untrusted:
		code = "registry_untrusted"
	case remote.NotAllowed:
		kind, code = model.KindDenied, "registry_not_public"
	case remote.SignIn, remote.Denied:
		kind, code = model.KindDenied, "registry_denied"
	case remote.NotFound:
		kind, code = model.KindNotFound, "registry_refused"
	case remote.Throttled:
		kind, code = model.KindThrottled, "registry_throttled"
	case remote.Nonsense, remote.Broken:
		code = "registry_refused"
	}
	return model.Errorf(kind, code, "%s was not pushed: %v", what, e)
}
