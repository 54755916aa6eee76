package mirror

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

var _ api.Upstreams = (*Mirror)(nil)

// Bounds of what people write.
const (
	maxUser     = 255
	maxPassword = 4096
	maxURL      = 2048
	maxCA       = 64 << 10
)

// Check judges how an upstream is to be reached; see api.Upstreams.
func (m *Mirror) Check(old *model.Upstream, name string, spec model.UpstreamSpec, password *string) (*model.Upstream, error) {
	row := &model.Upstream{Spec: spec}
	if old != nil {
		row.Meta, row.Password = old.Meta, old.Password
	} else {
		row.ID, row.Name = command.NewID(), strings.ToLower(name)
		if name == "" {
			return nil, model.Errorf(model.KindInvalid, "name_missing", "the upstream has no host; write it as in image names, like docker.io or registry.corp:5000").At("name")
		}
		if err := remote.CheckHost(row.Name); err != nil {
			return nil, invalid("name_invalid", "name", err)
		}
		if row.Name == model.RegistryHost {
			return nil, invalid("name_invalid", "name", fmt.Errorf("%s is this cluster's own registry, which needs no upstream", row.Name))
		}
	}
	if err := checkSpec(&row.Spec); err != nil {
		return nil, err
	}
	if err := m.tenants(&row.Spec); err != nil {
		return nil, err
	}
	if password != nil {
		switch {
		case len(*password) > maxPassword || strings.ContainsAny(*password, "\r\n\x00"):
			return nil, invalid("password_invalid", "password", fmt.Errorf("a password is one line of at most %d bytes", maxPassword))
		case *password == "":
			row.Password = nil
		default:
			sealed, err := m.cfg.Box.Seal(sealPurpose, []byte(*password))
			if err != nil {
				return nil, err
			}
			row.Password = sealed
		}
	}
	switch {
	case len(row.Password) > 0 && spec.Username == "":
		return nil, invalid("username_missing", "spec.username", errors.New("there is a password and no user name; give both or neither"))
	case len(row.Password) == 0 && spec.Username != "":
		return nil, invalid("password_missing", "password", fmt.Errorf("there is no password for the user %s; give both or neither", spec.Username))
	}
	return row, nil
}

func invalid(code, field string, err error) error {
	return model.Errorf(model.KindInvalid, code, "%v", err).At(field)
}

func checkSpec(spec *model.UpstreamSpec) error {
	if len(spec.Endpoints) > state.MaxUpstreamEndpoints {
		return invalid("too_many_endpoints", "spec.endpoints", fmt.Errorf("%d endpoints; at most %d are tried", len(spec.Endpoints), state.MaxUpstreamEndpoints))
	}
	for i, e := range spec.Endpoints {
		field := fmt.Sprintf("spec.endpoints[%d]", i)
		if len(e) > maxURL {
			return invalid("endpoint_invalid", field, fmt.Errorf("the endpoint is %d bytes long; at most %d", len(e), maxURL))
		}
		if err := remote.CheckEndpoint(e); err != nil {
			return invalid("endpoint_invalid", field, err)
		}
		if slices.Contains(spec.Endpoints[:i], e) {
			return invalid("endpoint_twice", field, fmt.Errorf("the endpoint %s stands twice", e))
		}
	}
	if spec.Proxy != "" {
		if len(spec.Proxy) > maxURL {
			return invalid("proxy_invalid", "spec.proxy", fmt.Errorf("the proxy is %d bytes long; at most %d", len(spec.Proxy), maxURL))
		}
		if err := remote.CheckProxy(spec.Proxy); err != nil {
			return invalid("proxy_invalid", "spec.proxy", err)
		}
	}
	if len(spec.Username) > maxUser || strings.ContainsAny(spec.Username, ":\r\n\x00") {
		return invalid("username_invalid", "spec.username", fmt.Errorf("a user name has no colon and no line break, and at most %d bytes", maxUser))
	}
	return checkCA(spec.CA)
}

// checkCA wants certificates and nothing else: a key that came along would be
// shown to everybody who may see the upstream.
func checkCA(text string) error {
	if text == "" {
		return nil
	}
	if len(text) > maxCA {
		return invalid("ca_invalid", "spec.ca", fmt.Errorf("the CA is %d bytes long; at most %d", len(text), maxCA))
	}
	rest := []byte(text)
	for {
		var b *pem.Block
		b, rest = pem.Decode(rest)
		if b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return invalid("ca_invalid", "spec.ca", fmt.Errorf("the CA holds a %s; give certificates only", strings.ToLower(clip(b.Type))))
		}
	}
	if _, err := remote.Roots(text); err != nil {
		return invalid("ca_invalid", "spec.ca", err)
	}
	return nil
}

// tenants puts the ids of tenants where names were written.
func (m *Mirror) tenants(spec *model.UpstreamSpec) error {
	v, ids := m.cfg.Cluster.View(), []string{}
	for i, ref := range spec.TenantIDs {
		t, err := v.FindTenant(ref)
		if err != nil {
			return model.Errorf(model.KindNotFound, "not_found", "there is no tenant %q", clip(ref)).At(fmt.Sprintf("spec.tenantIds[%d]", i))
		}
		if !slices.Contains(ids, t.ID) {
			ids = append(ids, t.ID)
		}
	}
	if spec.TenantIDs = ids; len(ids) == 0 {
		spec.TenantIDs = nil
	}
	return nil
}

// testTimeout bounds the test of one upstream.
const testTimeout = 60 * time.Second

// Test tries every endpoint; see api.Upstreams.
func (m *Mirror) Test(ctx context.Context, u *model.Upstream) (api.UpstreamTest, error) {
	w, err := m.served(u)
	if err != nil {
		return api.UpstreamTest{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	out := api.UpstreamTest{Ok: true, Endpoints: []api.EndpointTest{}}
	for _, p := range w.client.Probe(ctx) {
		t := api.EndpointTest{Endpoint: p.Endpoint, Ok: p.Err == nil, TookMillis: int(p.Took.Milliseconds())}
		if p.Err != nil {
			t.Message, out.Ok = p.Err.Error(), false
		}
		out.Endpoints = append(out.Endpoints, t)
	}
	return out, nil
}
