package mirror_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/raft/model"
)

// TestCheck: what an administrator may write.
func TestCheck(t *testing.T) {
	r := newRig(t, 0)
	pw, none := "s3cret", ""
	var nothing *string
	for _, c := range []struct {
		name  string
		spec  model.UpstreamSpec
		pw    *string
		field string
	}{
		{"", model.UpstreamSpec{}, nothing, "name"},
		{"https://docker.io", model.UpstreamSpec{}, nothing, "name"},
		{"nginx", model.UpstreamSpec{}, nothing, "name"},
		{"skerry.internal", model.UpstreamSpec{}, nothing, "name"},
		{"a.corp", model.UpstreamSpec{Endpoints: []string{"https://a.corp", "ftp://b.corp"}}, nothing, "spec.endpoints[1]"},
		{"a.corp", model.UpstreamSpec{Endpoints: []string{"https://u:p@a.corp"}}, nothing, "spec.endpoints[0]"},
		{"a.corp", model.UpstreamSpec{Endpoints: []string{"https://a.corp", "https://a.corp"}}, nothing, "spec.endpoints[1]"},
		{"a.corp", model.UpstreamSpec{Endpoints: make([]string, 17)}, nothing, "spec.endpoints"},
		{"a.corp", model.UpstreamSpec{Proxy: "http://u:p@proxy"}, nothing, "spec.proxy"},
		{"a.corp", model.UpstreamSpec{CA: "no PEM"}, nothing, "spec.ca"},
		{"a.corp", model.UpstreamSpec{CA: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, nothing, "spec.ca"},
		{"a.corp", model.UpstreamSpec{TenantIDs: []string{"nobody"}}, nothing, "spec.tenantIds[0]"},
		{"a.corp", model.UpstreamSpec{Username: "bot"}, nothing, "password"},
		{"a.corp", model.UpstreamSpec{Username: "bot"}, &none, "password"},
		{"a.corp", model.UpstreamSpec{}, &pw, "spec.username"},
		{"a.corp", model.UpstreamSpec{Username: "b:ot"}, &pw, "spec.username"},
	} {
		_, err := r.mirror.Check(nil, c.name, c.spec, c.pw)
		e, ok := errors.AsType[*model.Error](err)
		if !ok || e.Field != c.field || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s %+v: %v, want the field %s", c.name, c.spec, err, c.field)
		}
	}
	row, err := r.mirror.Check(nil, "Registry.Corp:5000", model.UpstreamSpec{Username: "bot", TenantIDs: []string{"other", "t2"}}, &pw)
	if err != nil || row.Name != "registry.corp:5000" || !slices.Equal(row.Spec.TenantIDs, []string{"t2"}) || strings.Contains(string(row.Password), pw) || len(row.Password) == 0 {
		t.Fatalf("%+v %v", row, err)
	}
	if kept, err := r.mirror.Check(row, row.Name, row.Spec, nil); err != nil || string(kept.Password) != string(row.Password) {
		t.Errorf("an absent password does not stay: %v", err)
	}
	if gone, err := r.mirror.Check(row, row.Name, model.UpstreamSpec{}, &none); err != nil || len(gone.Password) != 0 {
		t.Errorf("an empty password does not go: %v", err)
	}
	up := r.upstreamServer()
	spec := up.spec()
	spec.Endpoints = append(spec.Endpoints, "https://"+dead(t))
	got, err := r.mirror.Test(t.Context(), r.upstream("registry.corp", spec, botPassword))
	if err != nil || got.Ok || len(got.Endpoints) != 2 || !got.Endpoints[0].Ok || !strings.Contains(got.Endpoints[1].Message, "connection refused") {
		t.Errorf("test: %+v %v", got, err)
	}
}
