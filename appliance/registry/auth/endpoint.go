package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// maxForm bounds the body of a request for a token.
const maxForm = 64 << 10

// reply is what a client gets for its password; both names of the token are in use.
type reply struct {
	Token        string    `json:"token"`
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	ExpiresIn    int       `json:"expires_in"`
	IssuedAt     time.Time `json:"issued_at"`
	Scope        string    `json:"scope,omitempty"`
	TokenType    string    `json:"token_type"`
}

// ServeHTTP issues tokens: GET with Basic (user name and password, or any name
// and an API token) or without, and POST as OAuth2 has it (grant types password
// and refresh_token).
func (d *Door) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	var out *reply
	var err error
	switch req.Method {
	case http.MethodGet:
		out, err = d.get(req)
	case http.MethodPost:
		req.Body = http.MaxBytesReader(w, req.Body, maxForm)
		out, err = d.post(req)
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "a token is fetched with GET or POST", http.StatusMethodNotAllowed)
		return
	}
	if err != nil {
		d.refuse(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (d *Door) get(req *http.Request) (*reply, error) {
	q := req.URL.Query()
	grants, err := parseScopes(q["scope"])
	if err != nil {
		return nil, err
	}
	var p access.Principal
	scheme, text, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	switch {
	case scheme == "":
	case strings.EqualFold(scheme, "Bearer"):
		p, err = access.ByToken(d.cfg.Cluster.View(), d.cfg.Now(), strings.TrimSpace(text))
	default:
		name, password, ok := req.BasicAuth()
		if !ok {
			return nil, model.Errorf(model.KindUnauthenticated, "authorization_invalid", "the Authorization header must be `Basic ...` with a user name and a password")
		}
		p, err = d.verify(req.Context(), name, password, remoteIP(req))
	}
	if err != nil {
		return nil, err
	}
	return d.issue(&p, grants, q.Get("offline_token") == "true")
}

func (d *Door) post(req *http.Request) (*reply, error) {
	if err := req.ParseForm(); err != nil {
		return nil, model.Errorf(model.KindInvalid, "form_invalid", "the request for a token cannot be read: send an application/x-www-form-urlencoded form of at most %d bytes", maxForm)
	}
	f := req.PostForm
	grants, err := parseScopes(f["scope"])
	if err != nil {
		return nil, err
	}
	switch kind := f.Get("grant_type"); kind {
	case "password":
		p, err := d.verify(req.Context(), f.Get("username"), f.Get("password"), remoteIP(req))
		if err != nil {
			return nil, err
		}
		return d.issue(&p, grants, f.Get("access_type") == "offline")
	case "refresh_token":
		p, err := d.refresh(f.Get("refresh_token"))
		if err != nil {
			return nil, err
		}
		out, err := d.issue(&p, grants, false)
		if err == nil {
			out.RefreshToken = f.Get("refresh_token") // clients keep what they get
		}
		return out, err
	default:
		return nil, model.Errorf(model.KindInvalid, "grant_type_invalid", "the grant type %q is none; use password or refresh_token", shown(kind))
	}
}

// refresh finds who is behind a refresh token; an API token may stand in its place.
func (d *Door) refresh(text string) (access.Principal, error) {
	if strings.HasPrefix(text, apiTokenPrefix) {
		return access.ByToken(d.cfg.Cluster.View(), d.cfg.Now(), text)
	}
	p, _, err := d.read(kindRefresh, text)
	return p, err
}

// issue makes the tokens. Scopes that the policy does not allow are in the token
// all the same: each request is decided by itself, and a token that lacked them
// would tell what exists.
func (d *Door) issue(p *access.Principal, grants []grant, offline bool) (*reply, error) {
	now := d.cfg.Now().UTC()
	text, err := d.sign(kindAccess, p, grants, now, tokenTime)
	if err != nil {
		return nil, err
	}
	out := &reply{Token: text, AccessToken: text, ExpiresIn: int(tokenTime / time.Second), IssuedAt: now, TokenType: "Bearer"}
	words := make([]string, len(grants))
	for i, g := range grants {
		words[i] = g.Type + ":" + g.Name + ":" + strings.Join(g.Actions, ",")
	}
	out.Scope = strings.Join(words, " ")
	if offline && !p.Anonymous() {
		out.RefreshToken, err = d.sign(kindRefresh, p, nil, now, refreshTime)
	}
	return out, err
}

// verify finds who has a name and password, or an API token as password. The
// same right pair within knownFor is not hashed again: a client that fetches a
// hundred layers at once asks for a token for each.
func (d *Door) verify(ctx context.Context, name, password, remoteIP string) (access.Principal, error) {
	if strings.HasPrefix(password, apiTokenPrefix) {
		return access.ByToken(d.cfg.Cluster.View(), d.cfg.Now(), password)
	}
	u, there := d.cfg.Cluster.View().UserByName(name)
	if !there {
		return d.cfg.People.Verify(ctx, name, password, remoteIP)
	}
	row := sha256.Sum256([]byte(u.ID + "\x00" + u.PasswordHash + "\x00" + password))
	if d.known.has(row, d.cfg.Now()) {
		return access.Again(d.cfg.Cluster.View(), d.cfg.Now(), u.ID, "")
	}
	// One at a time for each pair and address: the throttle counts a try that has
	// not ended yet as wrong.
	_, err, _ := d.known.flight.Do(string(row[:])+remoteIP, func() (any, error) {
		if d.known.has(row, d.cfg.Now()) {
			return nil, nil
		}
		_, err := d.cfg.People.Verify(context.WithoutCancel(ctx), name, password, remoteIP)
		if err == nil {
			d.known.put(row, d.cfg.Now())
		}
		return nil, err
	})
	if err != nil {
		return access.Principal{}, err
	}
	return access.Again(d.cfg.Cluster.View(), d.cfg.Now(), u.ID, "")
}

// known remembers right pairs of name and password for a moment, by a digest
// that ends with the password's hash in the state.
type known struct {
	flight singleflight.Group
	mu     sync.Mutex
	rows   map[[32]byte]time.Time // guarded by mu
}

const (
	knownFor = 5 * time.Minute
	maxKnown = 1000
)

func (k *known) has(row [32]byte, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.rows[row]
	return ok && now.Sub(at) < knownFor
}

func (k *known) put(row [32]byte, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rows == nil || len(k.rows) >= maxKnown {
		k.rows = map[[32]byte]time.Time{}
	}
	k.rows[row] = now
}

// refuse answers in the form of the registry's errors and in OAuth2's at once.
func (d *Door) refuse(w http.ResponseWriter, req *http.Request, err error) {
	status, code, oauth := http.StatusInternalServerError, "UNKNOWN", "server_error"
	detail := "something is wrong with this registry; its log says what"
	e, ok := errors.AsType[*model.Error](err)
	if ok {
		detail = e.Detail
		switch e.Kind {
		case model.KindInvalid:
			status, code, oauth = http.StatusBadRequest, "UNSUPPORTED", "invalid_request"
		case model.KindUnauthenticated:
			status, code, oauth = http.StatusUnauthorized, "UNAUTHORIZED", "invalid_grant"
			w.Header().Set("WWW-Authenticate", `Basic realm="`+Service+`"`)
		case model.KindThrottled:
			status, code, oauth = http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow_down"
			if t, ok := errors.AsType[*access.ThrottleError](err); ok {
				w.Header().Set("Retry-After", strconv.Itoa(t.RetrySeconds()))
			}
		case model.KindUnavailable:
			status, code, oauth = http.StatusServiceUnavailable, "UNAVAILABLE", "temporarily_unavailable"
		}
	}
	if status == http.StatusInternalServerError {
		d.log.Error("token not issued", "err", err)
	}
	if k := model.KindOf(err); k == model.KindUnauthenticated || k == model.KindThrottled {
		d.note(req, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"errors": []map[string]string{{"code": code, "message": detail}}, "error": oauth, "error_description": detail,
	})
}

// note puts a refused sign-in into the audit, as the console's are.
func (d *Door) note(req *http.Request, err error) {
	o := d.origin(req)
	name, _, _ := req.BasicAuth()
	if req.Method == http.MethodPost {
		name = req.PostForm.Get("username")
	}
	if name != "" {
		o.Actor = name[:min(len(name), 64)]
	}
	o.Operation = "signIn"
	d.cfg.Recorder.Record(command.AuditEntry{Origin: o, Action: "login.refused", Code: model.CodeOf(err)})
}

func remoteIP(req *http.Request) string {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
