package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/registry/auth"
	"github.com/skerryhq/skerry/raft/model"
)

// headerRemote bears the client's address on a request that is passed on, and
// headerIndex the index that its answer reflects.
const (
	headerRemote = "Skerry-Remote"
	headerIndex  = "Skerry-Index"
)

// PeerHandler answers other members below PeerPrefix. Whoever mounts it lets only
// members in.
func (r *Registry) PeerHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PeerPrefix+"hold", r.serveHold)
	mux.HandleFunc("POST "+PeerPrefix+"have", r.serveHave)
	mux.HandleFunc("POST "+PeerPrefix+"collect", func(w http.ResponseWriter, req *http.Request) {
		blobs, bytes, err := r.Collect(req.Context())
		answer(w, Collected{blobs, bytes}, err)
	})
	mux.HandleFunc("POST "+PeerPrefix+"usage", func(w http.ResponseWriter, req *http.Request) {
		u, err := r.Usage(req.Context())
		answer(w, u, err)
	})
	passed := http.HandlerFunc(r.servePassed)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, PeerPrefix+"v2/") {
			passed.ServeHTTP(w, req) // the mux would mend its path
			return
		}
		w.WriteHeader(http.StatusEarlyHints) // the sign of life
		mux.ServeHTTP(w, req)
	})
}

// Collected is what a collection freed.
type Collected struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone if it fails
}

// maxQuestion bounds what another member says at once.
const maxQuestion = 64 << 20

// serveHold takes copies of what another member has just been given.
func (r *Registry) serveHold(w http.ResponseWriter, req *http.Request) {
	var in holdRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxQuestion)).Decode(&in); err != nil {
		http.Error(w, "read what is to be held: "+err.Error(), http.StatusBadRequest)
		return
	}
	behind := !r.await(req.Context(), in.Index)
	for _, it := range in.Items {
		d, err := parseDigest(it.Digest)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if behind {
			r.held.note(d)
		}
		release, err := r.bring(req.Context(), d, it.Size, in.From)
		if err != nil {
			http.Error(w, "take a copy of "+it.Digest+": "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		release()
	}
	answer(w, struct{}{}, nil)
}

// serveHave says which of some blobs are here to stay.
func (r *Registry) serveHave(w http.ResponseWriter, req *http.Request) {
	var in, out haveAnswer
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxQuestion)).Decode(&in); err != nil {
		http.Error(w, "read what is asked for: "+err.Error(), http.StatusBadRequest)
		return
	}
	rooted, err := r.rooted(req.Context())
	if err == nil {
		for _, d := range in.Have {
			if _, ok := rooted[digest.Digest(d)]; ok {
				out.Have = append(out.Have, d)
			}
		}
	}
	answer(w, out, err)
}

// servePassed serves a request of a client that came to another member. Who the
// client is, its own credentials say here once more.
func (r *Registry) servePassed(w http.ResponseWriter, req *http.Request) {
	in := req.Clone(req.Context())
	in.URL.Path = "/" + strings.TrimPrefix(req.URL.Path, PeerPrefix)
	in.URL.RawPath = ""
	if remote := req.Header.Get(headerRemote); remote != "" {
		in.RemoteAddr = remote
	}
	in.Header.Del(headerRemote)
	r.ServeHTTP(&indexed{ResponseWriter: w, index: func() uint64 { return r.view().Index() }}, in)
}

// indexed says in an answer which state it reflects.
type indexed struct {
	http.ResponseWriter
	index func() uint64
	sent  bool
}

// Unwrap gives the writer below.
func (i *indexed) Unwrap() http.ResponseWriter { return i.ResponseWriter }

// WriteHeader adds the index.
func (i *indexed) WriteHeader(status int) {
	if !i.sent {
		i.sent = true
		i.Header().Set(headerIndex, strconv.FormatUint(i.index(), 10))
	}
	i.ResponseWriter.WriteHeader(status)
}

func (i *indexed) Write(p []byte) (int, error) {
	if !i.sent {
		i.WriteHeader(http.StatusOK)
	}
	return i.ResponseWriter.Write(p)
}

// uploadNode gives the node that an upload's bytes are on; empty: this one.
func (r *Registry) uploadNode(id string) string {
	_, node, _ := strings.Cut(id, "-")
	if node == r.cfg.NodeID {
		return ""
	}
	return node
}

// passOn gives a request about an upload to the node that has its bytes. What
// comes back is answered when this node knows what that one knew.
func (r *Registry) passOn(w http.ResponseWriter, q *request, nodeID string) error {
	q.scope = auth.Scope(q.name, auth.Push)
	n, ok := r.view().Node(nodeID)
	if r.alone() || !ok || !n.Member() {
		return noUpload()
	}
	b := bodyOf(w, q.Request)
	var failed error
	proxy := httputil.ReverseProxy{
		Transport:     r.cfg.Peers.Client(nodeID).Transport,
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: "https", Host: "peer", Path: PeerPrefix + strings.TrimPrefix(q.URL.Path, "/"), RawQuery: q.URL.RawQuery}
			p.Out.Host = p.In.Host // a client is told to come back to where it was
			p.Out.Header.Set(headerRemote, p.In.RemoteAddr)
			if p.In.ContentLength != 0 {
				p.Out.Body = struct {
					*body
					closer
				}{b, closer{p.In.Body.Close}}
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if index, err := strconv.ParseUint(resp.Header.Get(headerIndex), 10, 64); err == nil {
				r.await(q.Context(), index)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	proxy.ServeHTTP(w, q.Request)
	if failed != nil && !errors.Is(failed, context.Canceled) {
		return &model.Error{Kind: model.KindUnavailable, Code: "node_away", Err: failed,
			Detail: "the node " + n.Name + ", which this upload was begun on, does not answer; try again, or begin the upload anew"}
	}
	return nil
}

type closer struct{ close func() error }

func (c closer) Close() error { return c.close() }

// await waits, not for long, until the state here is as new as another member's,
// and says whether it is.
func (r *Registry) await(ctx context.Context, index uint64) bool {
	waiter, ok := r.cfg.Cluster.(interface {
		WaitIndex(ctx context.Context, index uint64) error
	})
	if !ok || r.view().Index() >= index {
		return r.view().Index() >= index
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := waiter.WaitIndex(ctx, index)
	if err != nil {
		r.log.Debug("this node is behind another", "index", index, "err", err)
	}
	return err == nil
}

// CollectAll collects on every member and says what that freed together. A member
// that does not answer is left out; it collects by itself later.
func (r *Registry) CollectAll(ctx context.Context) (blobs int, bytes int64, err error) {
	blobs, bytes, err = r.Collect(ctx)
	if r.alone() {
		return blobs, bytes, err
	}
	for _, n := range r.healthy() {
		actx, cancel := context.WithTimeout(ctx, collectedWithin)
		var got Collected
		terr := r.tell(actx, n.ID, "collect", struct{}{}, &got)
		cancel()
		if terr != nil {
			r.log.Warn("a member did not collect", "node", n.ID, "err", terr)
			continue
		}
		blobs, bytes = blobs+got.Blobs, bytes+got.Bytes
	}
	return blobs, bytes, err
}

// UsageAll measures what the registry stores: Blobs and Bytes of what repositories
// hold, once, Reclaimable and Uploads on all members that answer.
func (r *Registry) UsageAll(ctx context.Context) (Usage, error) {
	u, err := r.Usage(ctx)
	if r.alone() || err != nil {
		return u, err
	}
	for _, n := range r.healthy() {
		actx, cancel := context.WithTimeout(ctx, askedWithin)
		var got Usage
		terr := r.tell(actx, n.ID, "usage", struct{}{}, &got)
		cancel()
		if terr != nil {
			r.log.Warn("a member does not say what it stores", "node", n.ID, "err", terr)
			continue
		}
		u.Reclaimable += got.Reclaimable
		u.Uploads += got.Uploads
	}
	return u, nil
}
