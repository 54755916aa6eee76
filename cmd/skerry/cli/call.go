package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// refusal is a problem document that the server answered.
type refusal struct {
	client.Problem
}

// Error gives the sentence for people, behind the field that it is about.
func (r *refusal) Error() string {
	text := firstOf(r.Detail, r.Title, fmt.Sprintf("the server answered %d", r.Status))
	if r.Field != "" && r.Code != "compose_invalid" && !strings.Contains(text, r.Field) {
		text = r.Field + ": " + text
	}
	if r.Status >= 500 && r.RequestID != "" {
		text += " (request " + r.RequestID + ")"
	}
	return text
}

func statusOf(err error) int {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.Status
	}
	return 0
}

// answer reads a JSON answer of type T, or the refusal.
func answer[T any](resp *http.Response, err error) (T, error) {
	var v T
	if err != nil {
		return v, unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return v, readRefusal(resp)
	}
	if resp.StatusCode == http.StatusNoContent {
		return v, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return v, fmt.Errorf("read the answer: %w", err)
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("the server's answer cannot be read (%w): its version may not fit this program's", err)
	}
	return v, nil
}

// done reads an answer without content.
func done(resp *http.Response, err error) error {
	_, err = answer[json.RawMessage](resp, err)
	return err
}

// streamed gives an open answer, or the refusal.
func streamed(resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		return nil, unreachable(err)
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, readRefusal(resp)
	}
	return resp, nil
}

func readRefusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	r := &refusal{}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" && json.Unmarshal(body, &r.Problem) == nil && r.Detail != "" {
		return r
	}
	r.Status = resp.StatusCode
	r.Detail = fmt.Sprintf("the server answered %s; is a skerry daemon behind this address?", resp.Status)
	return r
}

// unreachable says in a sentence why no answer came.
func unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	ue, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	socket := ""
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Net == "unix" && op.Addr != nil {
		socket = op.Addr.String()
	}
	switch {
	case socket != "" && errors.Is(err, os.ErrPermission):
		return fmt.Errorf("you may not use the daemon's socket %s: run as its user (root), or `skerry login` as yourself", socket)
	case socket != "" && (errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)):
		return fmt.Errorf("no skerry daemon answers at %s: start it with `skerry daemon`, or name its --run-dir", socket)
	case socket != "":
		return fmt.Errorf("the daemon's socket %s does not answer: %w", socket, ue.Err)
	}
	host := ue.URL
	if u, perr := url.Parse(ue.URL); perr == nil {
		host = u.Host
	}
	if errors.Is(err, errPin) {
		return fmt.Errorf("%s: %w", host, errPin)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%s has a certificate that this host does not trust (%w): give the --ca-fingerprint that `skerry init` printed, or set SKERRY_CA_FINGERPRINT", host, ue.Err)
	}
	return fmt.Errorf("%s does not answer: %w", host, ue.Err)
}

// page is one page of a list.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// pages reads all pages of a list.
func pages[T any](fetch func(cursor string) (*http.Response, error)) ([]T, error) {
	all := []T{}
	for cursor := ""; ; {
		p, err := answer[page[T]](fetch(cursor))
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.NextCursor == "" || p.NextCursor == cursor {
			return all, nil
		}
		cursor = p.NextCursor
	}
}
