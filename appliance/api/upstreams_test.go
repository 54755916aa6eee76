package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// desk takes every upstream but those called bad, and "seals" by turning round.
type desk struct{}

func (desk) Check(old *model.Upstream, name string, spec model.UpstreamSpec, password *string) (*model.Upstream, error) {
	if strings.HasPrefix(name, "bad") {
		return nil, invalid("name_invalid", "%q is no host", name).At("name")
	}
	row := &model.Upstream{Meta: model.Meta{ID: command.NewID(), Name: name}, Spec: spec}
	if old != nil {
		row.Meta, row.Password = old.Meta, old.Password
	}
	if password != nil {
		row.Password = nil
		for i := len(*password) - 1; i >= 0; i-- {
			row.Password = append(row.Password, (*password)[i])
		}
	}
	return row, nil
}

func (desk) Test(_ context.Context, u *model.Upstream) (UpstreamTest, error) {
	return UpstreamTest{Ok: false, Endpoints: []EndpointTest{{Endpoint: "https://" + u.Name, Message: "connection refused"}}}, nil
}

func TestUpstreams(t *testing.T) {
	r := newRig(t)
	r.server.cfg.Upstreams = desk{}
	root := r.admin()
	ada := r.token("ada", r.user("ada", model.UserSpec{Tenants: map[string]model.Role{r.own: model.RoleOwner}}), "", model.RoleOwner, time.Time{})
	ask := func(token, method, path, body string, edits ...edit) (int, string) {
		t.Helper()
		var in any
		if body != "" {
			in = body
		}
		res := r.do(method, path, in, append([]edit{bearer(token)}, edits...)...)
		return res.status, string(res.body)
	}
	if code, body := ask(root, http.MethodPost, "/upstreams", `{"name":"bad.corp"}`); code != http.StatusBadRequest || !strings.Contains(body, `"name"`) {
		t.Errorf("bad: %d %s", code, body)
	}
	if code, body := ask(ada, http.MethodPost, "/upstreams", `{"name":"registry.corp"}`); code != http.StatusForbidden {
		t.Errorf("an owner of a tenant made one: %d %s", code, body)
	}
	code, body := ask(root, http.MethodPost, "/upstreams", `{"name":"registry.corp","spec":{"username":"bot"},"password":"s3cret"}`)
	if code != http.StatusCreated || !strings.Contains(body, `"hasPassword":true`) {
		t.Fatalf("create: %d %s", code, body)
	}
	u, ok := r.node.View().UpstreamByName("registry.corp")
	if !ok || string(u.Password) != "terc3s" {
		t.Fatalf("%+v", u)
	}
	r.propose(&command.CacheManifest{Head: command.By(model.Origin{Actor: "test"}), UpstreamID: u.ID, RepositoryID: "c1", Name: "registry.corp/a/b", Manifest: model.Manifest{
		Descriptor: model.Descriptor{MediaType: model.MediaTypeOCIManifest, Digest: "sha256:" + strings.Repeat("a", 64), Size: 7}}})
	for _, path := range []string{"/upstreams", "/upstreams/registry.corp", "/upstreams/" + u.ID} {
		code, body := ask(root, http.MethodGet, path, "")
		if code != http.StatusOK || strings.Contains(body, "s3cret") || strings.Contains(body, "terc3s") || !strings.Contains(body, `"repositories":1`) || !strings.Contains(body, `"sizeBytes":7`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := ask(root, http.MethodPut, "/upstreams/registry.corp", `{"spec":{"username":"bot","disabled":true}}`, header("If-Match", `"1"`)); code != http.StatusPreconditionFailed {
		t.Errorf("an old version: %d %s", code, body)
	}
	if code, body := ask(root, http.MethodPut, "/upstreams/registry.corp", `{"spec":{"username":"bot","disabled":true}}`); code != http.StatusOK || !strings.Contains(body, `"disabled":true`) || !strings.Contains(body, `"hasPassword":true`) {
		t.Errorf("an absent password: %d %s", code, body)
	}
	if code, body := ask(root, http.MethodPut, "/upstreams/registry.corp", `{"spec":{},"password":""}`); code != http.StatusOK || !strings.Contains(body, `"hasPassword":false`) {
		t.Errorf("an empty password: %d %s", code, body)
	}
	if code, body := ask(root, http.MethodPost, "/upstreams/registry.corp/test", ""); code != http.StatusOK || !strings.Contains(body, "connection refused") {
		t.Errorf("test: %d %s", code, body)
	}
	if code, body := ask(root, http.MethodDelete, "/upstreams/registry.corp", ""); code != http.StatusNoContent {
		t.Errorf("delete: %d %s", code, body)
	}
	if code, _ := ask(root, http.MethodGet, "/upstreams/registry.corp", ""); code != http.StatusNotFound {
		t.Errorf("after delete: %d", code)
	}
	r.server.cfg.Upstreams = nil
	if code, _ := ask(root, http.MethodPost, "/upstreams", `{"name":"registry.corp"}`); code != http.StatusServiceUnavailable {
		t.Errorf("without a mirror: %d", code)
	}
}
