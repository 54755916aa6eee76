package auth

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

var update = flag.Bool("update", false, "rewrite golden files")

// word says in one word what came of an attempt.
func word(err error) string {
	switch k := model.KindOf(err); {
	case err == nil:
		return "ok"
	case k == model.KindUnauthenticated:
		return "sign-in"
	case k == model.KindDenied:
		return "denied"
	case k == model.KindNotFound:
		return "unknown"
	case k == model.KindInvalid:
		return "invalid"
	default:
		return err.Error()
	}
}

// TestPolicy walks every kind of caller, repository and action. The golden file is
// the registry's whole policy in one readable table.
func TestPolicy(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"public", "tenant", "private"} {
		r.repository("default", name, model.Visibility(name), r.user("maker"))
	}
	r.repository("other", "tenant", model.VisibilityTenant, "")
	r.propose(&command.PutUpstream{Upstream: model.Upstream{Meta: model.Meta{ID: "open", Name: "open.test"}}},
		&command.PutUpstream{Upstream: model.Upstream{Meta: model.Meta{ID: "ours", Name: "ours.test"}, Spec: model.UpstreamSpec{Username: "u", TenantIDs: []string{r.tenant("default")}}}},
		&command.PutUpstream{Upstream: model.Upstream{Meta: model.Meta{ID: "paid", Name: "paid.test"}, Spec: model.UpstreamSpec{Username: "u"}}})
	for _, host := range []string{"open", "ours", "paid"} {
		r.propose(&command.CacheManifest{UpstreamID: host, Name: host + ".test/x", RepositoryID: "r-" + host,
			Manifest: model.Manifest{Descriptor: model.Descriptor{Digest: "sha256:" + strings.Repeat("a", 64), Size: 1, MediaType: "m"}}})
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, "# What each caller gets from the registry. ok, denied (403), unknown (404: must not be seen, or is not there), sign-in (401).")
	w := tabwriter.NewWriter(&out, 2, 8, 2, ' ', 0)
	paths := []string{"default/public", "default/tenant", "default/private", "default/missing", "other/tenant", "other/missing", "nobody/missing", "library/missing", "open.test/x", "ours.test/x", "paid.test/x"}
	fmt.Fprint(w, "caller\taction")
	for _, p := range paths {
		fmt.Fprint(w, "\t"+p)
	}
	fmt.Fprintln(w)
	for _, who := range r.askers() {
		for _, a := range []Action{Pull, Push, Delete} {
			fmt.Fprintf(w, "%s\t%s", who.name, a)
			for _, p := range paths {
				v := &Visitor{Caller: access.Caller{Principal: who.principal, Origin: model.Origin{Actor: "t"}}}
				got, err := r.door.Open(t.Context(), v, p, a)
				fmt.Fprint(w, "\t"+word(err))
				if err == nil && strings.HasSuffix(p, "/missing") { // it was made: take it away for the next
					r.propose(&command.DeleteRepository{ID: got.ID, ExpectVersion: command.AnyVersion})
					if tn, ok := r.node.View().TenantByName("library"); ok && strings.HasPrefix(p, "library/") {
						if got.Spec.Visibility != model.VisibilityPublic {
							t.Errorf("%s made %s %s", who.name, p, got.Spec.Visibility)
						}
						r.propose(&command.DeleteTenant{ID: tn.ID, ExpectVersion: command.AnyVersion})
					}
				}
			}
			fmt.Fprintln(w)
		}
	}
	_ = w.Flush()
	const file = "testdata/policy.golden"
	got := bytes.ReplaceAll(out.Bytes(), []byte(" \n"), []byte("\n"))
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the policy has changed; look at every line that differs, then run with -update:\n%s", got)
	}
}

// TestNothingIsGivenAway holds that who may not read hears the very same words for
// what is there and for what is not.
func TestNothingIsGivenAway(t *testing.T) {
	r := newRig(t)
	r.repository("other", "secret", model.VisibilityTenant, "")
	r.repository("default", "mine", model.VisibilityPrivate, r.user("maker"))
	dev, viewer := access.Principal{}, access.Principal{}
	for _, a := range r.askers() {
		switch a.name {
		case "developer":
			dev = a.principal
		case "viewer":
			viewer = a.principal
		}
	}
	for name, p := range map[string]access.Principal{"anonymous": {}, "developer": dev} {
		for _, a := range []Action{Pull, Push, Delete} {
			say := func(path string) string {
				_, err := r.door.Open(t.Context(), &Visitor{Caller: access.Caller{Principal: p}}, path, a)
				return strings.ReplaceAll(fmt.Sprint(err), path, "PATH")
			}
			for _, missing := range []string{"other/absent", "nobody/secret"} {
				if there, not := say("other/secret"), say(missing); there != not {
					t.Errorf("%s, %s: %q, but for %s %q", name, a, there, missing, not)
				}
			}
		}
	}
	say := func(path string) string {
		_, err := r.door.Open(t.Context(), &Visitor{Caller: access.Caller{Principal: viewer}}, path, Pull)
		return strings.ReplaceAll(fmt.Sprint(err), path, "PATH")
	}
	if there, not := say("default/mine"), say("default/absent"); there != not {
		t.Errorf("viewer: %q, but for nothing %q", there, not)
	}
}

func TestNamesThatCannotBe(t *testing.T) {
	r := newRig(t)
	v := func() *Visitor {
		return &Visitor{Caller: access.Caller{Principal: access.Local(), Origin: model.Origin{Actor: "local"}}}
	}
	for _, path := range []string{"web", "default/Web", "default/a//b", "default/../x", "default/.x", "default/" + strings.Repeat("a", 300), "default/a--", "default/a b"} {
		if _, err := r.door.Open(t.Context(), v(), path, Push); model.KindOf(err) != model.KindInvalid && (path != "web" || model.KindOf(err) != model.KindDenied) {
			t.Errorf("push to %q: %v", path, err)
		}
	}
	if _, err := r.door.Open(t.Context(), v(), "default/team/web__x.y-z", Push); err != nil {
		t.Errorf("a good name was refused: %v", err)
	}
}

// TestTwoFirstPushes holds that two pushes that make one repository both get it.
func TestTwoFirstPushes(t *testing.T) {
	r := newRig(t)
	ids := make(chan string, 8)
	for range cap(ids) {
		go func() {
			v := &Visitor{Caller: access.Caller{Principal: access.Local(), Origin: model.Origin{Actor: "local", Time: time.Now()}}}
			got, err := r.door.Open(t.Context(), v, "default/same", Push)
			if err != nil {
				ids <- err.Error()
				return
			}
			ids <- got.ID
		}()
	}
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Errorf("one got %s, another %s", first, id)
		}
	}
}
