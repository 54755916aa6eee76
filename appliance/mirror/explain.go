package mirror

import (
	"errors"

	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/model"
)

// Explain gives a registry's failure the sentence and the kind that people are
// answered with; what names the image. Other errors come back as they are.
func Explain(what string, err error) error {
	switch {
	case errors.Is(err, registry.ErrDiskFull):
		return model.Errorf(model.KindExhausted, "disk_full", "%s was not fetched: the disk that holds the images is full; free some space or remove unused images", what)
	case errors.Is(err, registry.ErrDigest), errors.Is(err, registry.ErrTooLarge):
		return model.Errorf(model.KindUnavailable, "registry_nonsense", "%s was not fetched: its registry sent a part that is not what its digest says; nothing of it was kept", what)
	}
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		return err
	}
	kind, code, advice := model.KindUnavailable, "registry_unreachable", ""
	switch e.Kind {
	case remote.Unreachable, remote.ProxyFailed:
		advice = "; check the network, configure a mirror of it with `skerry upstream`, or import a tar with `skerry image import FILE`"
	case remote.Untrusted:
		code = "registry_untrusted"
	case remote.NotAllowed:
		kind, code = model.KindDenied, "registry_not_public"
	case remote.SignIn, remote.Denied:
		kind, code = model.KindDenied, "registry_denied"
	case remote.NotFound:
		kind, code = model.KindNotFound, "image_not_found"
		advice = "; check name and tag"
	case remote.Throttled:
		kind, code = model.KindThrottled, "registry_throttled"
	case remote.Broken:
		advice = "; try again, or configure a mirror of it with `skerry upstream`"
	case remote.Nonsense:
		code = "registry_nonsense"
	}
	return model.Errorf(kind, code, "%s was not fetched: %v%s", what, e, advice)
}
