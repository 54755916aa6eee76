package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

// HasBlob asks whether a repository has a blob. Errors: *Error.
func (c *Client) HasBlob(ctx context.Context, repository string, d digest.Digest) (bool, error) {
	resp, err := c.push(ctx, http.MethodHead, repository, "blobs/"+d.String(), nil, 0, "")
	if KindOf(err) == NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	drain(resp)
	return true, nil
}

// PushBlob sends a blob of size bytes that the repository does not have. open is
// called once for each try. Errors: *Error, those of open.
func (c *Client) PushBlob(ctx context.Context, repository string, d digest.Digest, size int64, open func() (io.ReadCloser, error)) error {
	resp, err := c.push(ctx, http.MethodPost, repository, "blobs/uploads/", nil, 0, "")
	if err != nil {
		return err
	}
	drain(resp)
	at, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil || at.Host == "" || at.User != nil || at.Scheme != "https" && resp.Request.URL.Scheme == "https" {
		return c.nonsense(c.endpoints[0].text, "no place to upload to")
	}
	q := at.Query()
	q.Set("digest", d.String())
	at.RawQuery = q.Encode()
	resp, err = c.push(ctx, http.MethodPut, repository, at.String(), open, size, "application/octet-stream")
	if err != nil {
		return err
	}
	drain(resp)
	return nil
}

// PushManifest sends a manifest or index, under a tag or its digest. Errors: *Error.
func (c *Client) PushManifest(ctx context.Context, repository, reference, mediaType string, body []byte) error {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	resp, err := c.push(ctx, http.MethodPut, repository, "manifests/"+reference, open, int64(len(body)), mediaType)
	if err != nil {
		return err
	}
	drain(resp)
	return nil
}

// push sends one request to the registry itself, no mirror of it. Where it has
// more than one endpoint, because nobody said whether it speaks TLS, the first one
// that answers counts. target is a path below the repository or a URL.
func (c *Client) push(ctx context.Context, method, repository, target string, open func() (io.ReadCloser, error), size int64, contentType string) (*http.Response, error) {
	var own []*endpoint
	for _, e := range c.endpoints {
		if e.home && (!strings.Contains(target, "://") || strings.HasPrefix(target, e.url.Scheme+"://")) {
			own = append(own, e)
		}
	}
	if len(own) == 0 {
		own = c.endpoints[:1]
	}
	for _, e := range own[:len(own)-1] {
		resp, err := c.pushTo(ctx, e, method, repository, target, open, size, contentType)
		if k := KindOf(err); k != Untrusted && k != Unreachable {
			return resp, err
		}
	}
	return c.pushTo(ctx, own[len(own)-1], method, repository, target, open, size, contentType)
}

// pushTo sends one request to one endpoint, signing in as it asks for it.
func (c *Client) pushTo(ctx context.Context, e *endpoint, method, repository, target string, open func() (io.ReadCloser, error), size int64, contentType string) (*http.Response, error) {
	u := *e.url
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		repository = prefix + "/" + repository
	}
	u.Path = "/v2/" + repository + "/" + target
	if method == http.MethodPut && strings.Contains(target, "://") {
		elsewhere, err := url.Parse(target)
		if err != nil {
			return nil, c.nonsense(e.text, "no place to upload to")
		}
		u = *elsewhere
	}
	scope := "repository:" + repository + ":pull,push"
	send := func(authorization string) (*http.Response, error) {
		var body io.ReadCloser
		if open != nil {
			var err error
			if body, err = open(); err != nil {
				return nil, err
			}
		}
		req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
		if err != nil {
			return nil, err
		}
		req.ContentLength = size
		if body != nil && size == 0 {
			req.Body = http.NoBody
			_ = body.Close()
		}
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		if c.cfg.UserAgent != "" {
			req.Header.Set("User-Agent", c.cfg.UserAgent)
		}
		if authorization != "" && u.Host == e.url.Host { // an upload elsewhere has its own right in the URL
			req.Header.Set("Authorization", authorization)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, c.unreachable(e.text, err)
		}
		return resp, nil
	}
	resp, err := e.auth.sending(ctx, c, e, scope, send)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer drain(resp)
	err = c.refused(e, resp, repository)
	if _, ok := errors.AsType[*Error](err); !ok {
		return nil, c.nonsense(e.text, "%s", resp.Status)
	}
	return nil, err
}
