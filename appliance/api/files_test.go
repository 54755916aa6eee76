package api

import (
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// volumeOf makes a volume of a tenant.
func (r *rig) volumeOf(tenantID, name string) string {
	r.t.Helper()
	id := command.NewID()
	r.propose(&command.PutVolume{Head: command.By(model.Origin{Actor: "test"}), ExpectVersion: command.MustNotExist,
		Volume: model.Volume{Meta: model.Meta{ID: id, Name: name}, TenantID: tenantID, NodeID: "node-1", Spec: model.VolumeSpec{Driver: "local"}}})
	return id
}

func TestFiles(t *testing.T) {
	r := newRig(t)
	r.runtime.root = t.TempDir()
	octet := header("Content-Type", mediaOctet)
	for _, at := range []string{"/containers/" + r.app(r.own, "shop").ID, "/volumes/" + r.volumeOf(r.own, "data")} {
		name := "a\nb \"q\" 🦭.txt"
		q := "?path=" + url.QueryEscape("/dir/"+name)
		if e := into[FileEntry](t, r.as("POST", at+"/folders?path=/dir", nil), 201); e.Name != "dir" || e.Type != FileTypeFolder {
			t.Errorf("%+v", e)
		}
		if e := into[FileEntry](t, r.as("PUT", at+"/file"+q, "0123456789", octet), 200); e.Name != name || e.SizeBytes != 10 {
			t.Errorf("%+v", e)
		}
		list := into[FileList](t, r.as("GET", at+"/files?path=/dir/", nil), 200)
		if list.Path != "/dir" || len(list.Items) != 1 || list.Items[0].Name != name || list.Items[0].RawName != "" {
			t.Errorf("%+v", list)
		}
		if root := into[FileList](t, r.as("GET", at+"/files", nil), 200); root.Path != "/" || len(root.Items) != 1 {
			t.Errorf("without a path: %+v", root)
		}
		a := r.as("GET", at+"/file"+q, nil)
		if a.status != 200 || string(a.body) != "0123456789" || a.header.Get("Content-Type") != mediaOctet || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d %q %v", a.status, a.body, a.header)
		}
		if how, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition")); err != nil || how != "attachment" || params["filename"] == "" {
			t.Errorf("%q: %v", a.header.Get("Content-Disposition"), err)
		}
		if a := r.as("GET", at+"/file"+q, nil, header("Range", "bytes=2-4")); a.status != 206 || string(a.body) != "234" {
			t.Errorf("a range: %d %q", a.status, a.body)
		}
		if a := r.as("GET", at+"/file"+q, nil, header("Range", "bytes=-3")); a.status != 206 || string(a.body) != "789" {
			t.Errorf("the end: %d %q", a.status, a.body)
		}
		// A name that is no UTF-8 goes there and back as base64.
		if err := os.WriteFile(filepath.Join(r.runtime.root, "dir", "x\xff"), []byte("raw"), 0o600); err != nil {
			t.Fatal(err)
		}
		list = into[FileList](t, r.as("GET", at+"/files?path=/dir", nil), 200)
		raw, err := base64.StdEncoding.DecodeString(list.Items[1].RawName)
		if err != nil || string(raw) != "x\xff" {
			t.Errorf("%+v %v", list.Items[1], err)
		}
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			if a := r.as("GET", at+"/file?rawPath="+url.QueryEscape(enc.EncodeToString([]byte("/dir/x\xff"))), nil); string(a.body) != "raw" {
				t.Errorf("%d %q", a.status, a.body)
			}
		}
		if a := r.as("DELETE", at+"/files?path=/dir&recursive=true", nil); a.status != 204 {
			t.Errorf("%d %s", a.status, a.body)
		}
		for path, code := range map[string]string{
			"/file?path=relative": "path_invalid", "/file?path=%2Fa%00b": "path_invalid", "/file?rawPath=%21%21": "path_invalid",
			"/file?path=/" + strings.Repeat("x", 5000): "path_invalid", "/file?path=/none": "path_not_found", "/files?path=/none": "path_not_found",
		} {
			if a := r.as("GET", at+path, nil); a.problem(t).Code != code {
				t.Errorf("%.40s: %d %s", path, a.status, a.body)
			}
		}
		if a := r.as("PUT", at+"/file?path=/f", "x", header("Content-Type", "text/html")); a.status != 415 {
			t.Errorf("another content type: %d %s", a.status, a.body)
		}
	}
	r.runtime.root = ""
	foreign := r.token("foreign", "", r.other, model.RoleOwner, time.Time{})
	viewer := r.token("viewer", "", r.own, model.RoleViewer, time.Time{})
	vol := "/volumes/" + r.volumeOf(r.own, "secret")
	for _, req := range [][2]string{{"GET", "/files?path=/"}, {"GET", "/file?path=/x"}, {"PUT", "/file?path=/x"}, {"DELETE", "/files?path=/x"}, {"POST", "/folders?path=/x"}} {
		if a := r.do(req[0], vol+req[1], nil, bearer(foreign), octet); a.status != 404 {
			t.Errorf("%s %s by another tenant: %d %s", req[0], req[1], a.status, a.body)
		}
		if a := r.do(req[0], vol+req[1], nil, bearer(viewer), octet); a.status != 403 {
			t.Errorf("%s %s by a viewer: %d %s", req[0], req[1], a.status, a.body)
		}
	}
}

// TestBrokenUpload hangs up in the middle; nothing of it is left.
func TestBrokenUpload(t *testing.T) {
	r := newRig(t)
	r.runtime.root = t.TempDir()
	at := r.web.URL + base + "/containers/" + r.app(r.own, "shop").ID + "/file?path=/big"
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", at, body)
	if err != nil {
		t.Fatal(err)
	}
	bearer(r.admin())(req)
	req.Header.Set("Content-Type", mediaOctet)
	go func() {
		_, _ = in.Write(make([]byte, 8<<20))
		_ = in.CloseWithError(io.ErrClosedPipe)
	}()
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Fatalf("answered %d", resp.StatusCode)
	}
	r.web.CloseClientConnections()
	r.web.Close() // waits for the handler
	left, err := os.ReadDir(r.runtime.root)
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestAttachment(t *testing.T) {
	for name, want := range map[string]string{
		"a.txt":              `attachment; filename="a.txt"; filename*=UTF-8''a.txt`,
		"a b":                `attachment; filename="a b"; filename*=UTF-8''a%20b`,
		"x\"; evil=\"y":      `attachment; filename="x__ evil__y"; filename*=UTF-8''x%22%3B%20evil%3D%22y`,
		"a\r\nSet-Cookie: x": `attachment; filename="a__Set-Cookie_ x"; filename*=UTF-8''a__Set-Cookie%3A%20x`,
		"中.txt":              `attachment; filename="_.txt"; filename*=UTF-8''%E4%B8%AD.txt`,
		"\xff":               `attachment; filename="_"; filename*=UTF-8''%EF%BF%BD`,
		`back\slash`:         `attachment; filename="back_slash"; filename*=UTF-8''back_slash`,
		"..":                 `attachment; filename=".."; filename*=UTF-8''..`,
	} {
		if got := attachment(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

// TestFilesOfUnplacedVolume: a volume that nobody has mounted has its files on
// the only node there is, for good; among several nodes its first container
// chooses, and a file put on another would be lost to it.
func TestFilesOfUnplacedVolume(t *testing.T) {
	r := newRig(t)
	r.runtime.root = t.TempDir()
	octet := header("Content-Type", mediaOctet)
	first := into[Volume](t, r.as("POST", "/volumes", VolumeInput{Name: "first"}), 201)
	named := into[Volume](t, r.as("POST", "/volumes", VolumeInput{Name: "named", Node: "node-1"}), 201)
	if first.NodeID != "" || named.NodeID != "node-1" {
		t.Fatalf("made on %q and %q", first.NodeID, named.NodeID)
	}
	if a := r.as("POST", "/volumes", VolumeInput{Name: "lost", Node: "nowhere"}); a.status != 404 {
		t.Errorf("on an unknown node: %d %s", a.status, a.body)
	}
	home := func() string { return into[Volume](t, r.as("GET", "/volumes/first", nil), 200).NodeID }
	if l := into[FileList](t, r.as("GET", "/volumes/first/files", nil), 200); len(l.Items) != 0 || home() != "" {
		t.Errorf("%d files, home %q", len(l.Items), home())
	}
	if a := r.as("PUT", "/volumes/first/file?path=/f", "x", octet); a.status != 200 || home() != "node-1" {
		t.Errorf("%d %s, home %q", a.status, a.body, home())
	}
	env, err := r.node.View().FindEnvironment(model.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	r.propose(&command.PutNode{Head: command.By(model.Origin{Actor: "test"}), Node: model.Node{Meta: model.Meta{ID: "node-2", Name: "node-2"}, EnvironmentID: env.ID}})
	second := into[Volume](t, r.as("POST", "/volumes", VolumeInput{Name: "second"}), 201)
	if second.NodeID != "" {
		t.Errorf("made on %q", second.NodeID)
	}
	for _, q := range [][2]string{{"GET", "files"}, {"PUT", "file?path=/f"}, {"POST", "folders?path=/d"}} {
		a := r.as(q[0], "/volumes/second/"+q[1], "", octet)
		if a.status != 409 || a.problem(t).Code != "volume_unplaced" {
			t.Errorf("%s %s: %d %s", q[0], q[1], a.status, a.body)
		}
	}
	if a := r.as("PUT", "/volumes/first/file?path=/g", "x", octet); a.status != 200 {
		t.Errorf("the first one: %d %s", a.status, a.body)
	}
}
