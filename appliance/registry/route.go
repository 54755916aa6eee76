package registry

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxName bounds the name of a repository in bytes, as the specification advises
// together with the longest host.
const maxName = 255

// The forms of names, as the specification has them.
var (
	nameForm = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	idForm   = regexp.MustCompile(`^[a-z2-7]{26}(?:-[a-z0-9-]{1,64})?$`)
)

// what is asked for.
type what uint8

const (
	routeBase what = iota + 1
	routeCatalog
	routeTags
	routeManifest
	routeBlob
	routeUploads
	routeUpload
	routeReferrers
)

// methods that each route takes, for 405.
var methods = map[what][]string{
	routeBase:      {http.MethodGet, http.MethodHead},
	routeCatalog:   {http.MethodGet, http.MethodHead},
	routeTags:      {http.MethodGet, http.MethodHead},
	routeManifest:  {http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete},
	routeBlob:      {http.MethodGet, http.MethodHead, http.MethodDelete},
	routeUploads:   {http.MethodPost},
	routeUpload:    {http.MethodGet, http.MethodPatch, http.MethodPut, http.MethodDelete},
	routeReferrers: {http.MethodGet, http.MethodHead},
}

// route is a parsed path.
type route struct {
	what what
	name string // of the repository
	ref  string // tag, digest or upload
}

// parse reads a path behind the host. It is cut from its end, because names hold
// slashes. Errors: a *failure.
func parse(path string) (route, error) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	switch {
	case path == "/v2" || ok && rest == "":
		return route{what: routeBase}, nil
	case rest == "_catalog":
		return route{what: routeCatalog}, nil
	case !ok:
		return route{}, fail(http.StatusNotFound, codeNameInvalid, "there is nothing at this path")
	}
	r, ok := cut(rest)
	if !ok {
		return route{}, fail(http.StatusNotFound, codeUnsupported, "there is nothing at this path: it names no manifest, blob, upload, tag list or referrers list")
	}
	if len(r.name) > maxName || !nameForm.MatchString(r.name) {
		return route{}, fail(http.StatusBadRequest, codeNameInvalid,
			"this is no name of a repository: write TENANT/NAME in lower-case letters, digits, `.`, `_`, `-` and `/`, at most %d", maxName).about("name", clip(r.name))
	}
	return r, r.check()
}

// cut parts a path into name and the rest.
func cut(path string) (route, bool) {
	head, last, ok := cutLast(path)
	if !ok {
		return route{}, false
	}
	name, word, ok := cutLast(head)
	if !ok {
		return route{}, false
	}
	switch word {
	case "uploads":
		if repo, is := strings.CutSuffix(name, "/blobs"); is && last == "" {
			return route{routeUploads, repo, ""}, true
		} else if is {
			return route{routeUpload, repo, last}, true
		}
	case "blobs":
		if last == "uploads" { // some clients leave out the slash at the end
			return route{routeUploads, name, ""}, true
		}
		return route{routeBlob, name, last}, true
	case "manifests":
		return route{routeManifest, name, last}, true
	case "referrers":
		return route{routeReferrers, name, last}, true
	case "tags":
		return route{routeTags, name, ""}, last == "list"
	}
	return route{}, false
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// check judges the reference.
func (r route) check() error {
	switch r.what {
	case routeBlob, routeReferrers:
		_, err := parseDigest(r.ref)
		return err
	case routeManifest:
		if strings.Contains(r.ref, ":") {
			_, err := parseDigest(r.ref)
			return err
		}
		if !tagForm.MatchString(r.ref) {
			return fail(http.StatusBadRequest, codeTagInvalid, "this is no tag: 1 to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`").about("tag", clip(r.ref))
		}
	case routeUpload:
		if !idForm.MatchString(r.ref) {
			return fail(http.StatusNotFound, codeUploadUnknown, "there is no such upload")
		}
	}
	return nil
}

// digest is the reference where it is one; empty for a tag.
func (r route) digest() digest.Digest {
	if strings.Contains(r.ref, ":") {
		return digest.Digest(r.ref)
	}
	return ""
}

var digestForm = regexp.MustCompile(`^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

func parseDigest(s string) (digest.Digest, error) {
	if !digestForm.MatchString(s) {
		return "", fail(http.StatusBadRequest, codeDigestInvalid, "this is no digest: write sha256: and 64, or sha512: and 128 hexadecimal digits").about("digest", clip(s))
	}
	return digest.Digest(s), nil
}

func clip(s string) string {
	if len(s) > 160 {
		return s[:160] + "..."
	}
	return s
}
