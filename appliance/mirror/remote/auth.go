package remote

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// authorizer knows what one endpoint wants to see.
type authorizer struct {
	username, password string
	plain              bool // the endpoint itself is spoken to by http

	mu     sync.Mutex
	basic  bool             // it asked for user and password themselves
	tokens map[string]token // by scope
}

type token struct {
	text  string
	until time.Time
}

// maxTokens bounds what is remembered; a registry has many repositories.
const maxTokens = 256

// tokenMargin is how long before its end a token is not used any more.
const tokenMargin = 10 * time.Second

// known is the Authorization header that worked last; empty if none did.
func (a *authorizer) known(scope string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.basic {
		return a.header()
	}
	if t, ok := a.tokens[scope]; ok && time.Until(t.until) > 0 {
		return "Bearer " + t.text
	}
	return ""
}

func (a *authorizer) header() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.username+":"+a.password))
}

// sending sends a request with the Authorization header that worked last, and once
// more where the endpoint asks for another.
func (a *authorizer) sending(ctx context.Context, c *Client, e *endpoint, scope string, send func(authorization string) (*http.Response, error)) (*http.Response, error) {
	resp, err := send(a.known(scope))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	challenges := resp.Header.Values("Www-Authenticate")
	drain(resp)
	answer, err := a.answer(ctx, c, e, challenges, scope)
	if err != nil {
		return nil, err
	}
	return send(answer)
}

// answer finds the Authorization header that a 401 asks for.
func (a *authorizer) answer(ctx context.Context, c *Client, e *endpoint, challenges []string, scope string) (string, error) {
	for _, ch := range challenges {
		scheme, params := parseChallenge(ch)
		switch {
		case scheme == "bearer" && params["realm"] != "":
			t, err := a.fetch(ctx, c, e, params, scope)
			if err != nil {
				return "", err
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.tokens == nil || len(a.tokens) >= maxTokens {
				a.tokens = map[string]token{}
			}
			a.tokens[scope] = t
			return "Bearer " + t.text, nil
		case scheme == "basic" && a.username != "":
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.basic { // it had them already
				return "", c.denied(e, "")
			}
			a.basic = true
			return a.header(), nil
		}
	}
	return "", c.denied(e, "")
}

// fetch asks a token service for a token.
func (a *authorizer) fetch(ctx context.Context, c *Client, e *endpoint, params map[string]string, scope string) (token, error) {
	realm, err := url.Parse(params["realm"])
	if err != nil || realm.Host == "" || realm.User != nil || realm.Scheme != "https" && (realm.Scheme != "http" || !a.plain) {
		return token{}, c.nonsense(e.text, "a token service at %q, which is no https URL", clip(hidden(params["realm"])))
	}
	q := realm.Query()
	if s := params["service"]; s != "" {
		q.Set("service", s)
	}
	if scope == "" {
		scope = params["scope"]
	}
	if scope != "" {
		q.Set("scope", scope)
	}
	if a.username != "" {
		q.Set("account", a.username)
	}
	realm.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err != nil {
		return token{}, err
	}
	if c.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", c.cfg.UserAgent)
	}
	if a.username != "" {
		req.Header.Set("Authorization", a.header())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return token{}, c.unreachable(realm.Scheme+"://"+realm.Host, err)
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusOK {
		return token{}, c.refused(&endpoint{text: realm.Scheme + "://" + realm.Host, auth: authorizer{username: a.username}}, resp, "")
	}
	var got struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&got); err != nil {
		return token{}, c.nonsense(e.text, "a token that cannot be read")
	}
	if got.Token == "" {
		got.Token = got.AccessToken
	}
	if got.Token == "" || strings.ContainsAny(got.Token, "\r\n") {
		return token{}, c.nonsense(e.text, "no token")
	}
	// The protocol says 60 s where the service does not say more.
	return token{text: got.Token, until: time.Now().Add(time.Duration(max(got.ExpiresIn, 60))*time.Second - tokenMargin)}, nil
}

// parseChallenge reads one WWW-Authenticate header.
func parseChallenge(s string) (scheme string, params map[string]string) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	params = map[string]string{}
	for rest = strings.TrimLeft(rest, " ,"); rest != ""; rest = strings.TrimLeft(rest, " ,") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		value := ""
		if strings.HasPrefix(after, `"`) {
			i := 1
			for ; i < len(after) && after[i] != '"'; i++ {
				if after[i] == '\\' && i+1 < len(after) {
					i++
				}
				value += string(after[i])
			}
			rest = after[min(i+1, len(after)):]
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		params[strings.ToLower(strings.TrimSpace(name))] = value
	}
	return strings.ToLower(scheme), params
}
