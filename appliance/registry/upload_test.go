package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/runtime/runtimetest"
)

// unfinished counts what is left of writes once the engine has closed them.
func (r *rig) unfinished() int {
	r.t.Helper()
	open := 0
	for range 3 {
		r.reg.Tend(r.t.Context(), time.Now().Add(10*time.Minute))
		if _, open = r.files(); open == 0 {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.t.Context().Done():
		}
	}
	return open
}

// files counts the blobs and the unfinished writes that the engine has on disk.
func (r *rig) files() (blobs, ingests int) {
	r.t.Helper()
	root := filepath.Join(r.host.Config.Root, "io.containerd.content.v1.content")
	for _, algo := range []string{"sha256", "sha512"} {
		found, _ := filepath.Glob(filepath.Join(root, "blobs", algo, "*"))
		blobs += len(found)
	}
	for _, unfinished := range []string{filepath.Join(root, "ingest", "*"), filepath.Join(r.dir, "incoming", "*"), filepath.Join(r.dir, "uploads", "*.data")} {
		found, _ := filepath.Glob(unfinished)
		ingests += len(found)
	}
	return blobs, ingests
}

// TestPossession: whoever names a digest without having the bytes gets nothing,
// and spoils nothing.
func TestPossession(t *testing.T) {
	r := newRig(t)
	secret := random(1 << 20)
	for _, algo := range algorithms {
		d := algo.FromBytes(secret)
		r.pushAs("ada", "default/secret", secret, d)
		r.push("bob", "other/mine", []byte("x"))
		claim := func(b []byte) {
			t.Helper()
			q := url.Values{"digest": {d.String()}}
			r.refused(ask{as: "bob", method: "POST", path: "/v2/other/mine/blobs/uploads/", query: q, body: bytes.NewReader(b)}, 400, "DIGEST_INVALID")
			loc := r.do(ask{as: "bob", method: "POST", path: "/v2/other/mine/blobs/uploads/"}, 202).Header.Get("Location")
			if len(b) > 0 {
				loc = r.do(ask{as: "bob", method: "PATCH", path: loc, body: bytes.NewReader(b)}, 202).Header.Get("Location")
			}
			r.refused(ask{as: "bob", method: "PUT", path: loc, query: q}, 400, "DIGEST_INVALID")
			r.refused(ask{as: "bob", method: "GET", path: loc}, 404, "BLOB_UPLOAD_UNKNOWN") // it could never become right
		}
		claim([]byte("garbage"))
		claim(nil)
		claim(secret[:len(secret)-1])
		claim(append(slices.Clone(secret), 0))
		for _, from := range []string{"default/secret", ""} {
			q := url.Values{"mount": {d.String()}}
			if from != "" {
				q.Set("from", from)
			}
			res := r.do(ask{as: "bob", method: "POST", path: "/v2/other/mine/blobs/uploads/", query: q}, 202)
			r.do(ask{as: "bob", method: "DELETE", path: res.Header.Get("Location")}, 204)
		}
		m := doc{SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json", Config: &desc{MediaType: typeConfig, Digest: d, Size: len(secret)}}
		r.refused(ask{as: "bob", method: "PUT", path: "/v2/other/mine/manifests/x", body: bytes.NewReader(m.bytes())}, 400, "MANIFEST_BLOB_UNKNOWN")
		for _, path := range []string{"/v2/other/mine/blobs/", "/v2/default/secret/blobs/"} {
			if res := r.do(ask{as: "bob", method: "GET", path: path + d.String()}, 404); bytes.Contains(res.b, secret[:100]) {
				t.Fatal("a stranger reads it")
			}
		}
		r.do(ask{method: "GET", path: "/v2/default/secret/blobs/" + d.String()}, 401)
		r.expectBlob("default/secret", d, secret)
		// With the bytes it is his, too, and is stored once.
		before, _ := r.files()
		r.pushAs("bob", "other/mine", secret, d)
		if after, _ := r.files(); after != before {
			t.Fatalf("%d blobs, then %d", before, after)
		}
	}
	if open := r.unfinished(); open != 0 {
		t.Fatalf("%d unfinished writes are left", open)
	}
}

// breaking is a body that ends before its announced length.
type breaking struct {
	b    []byte
	fail chan struct{} // closed: break off
}

func (b *breaking) Read(p []byte) (int, error) {
	if len(b.b) > 0 {
		n := copy(p, b.b)
		b.b = b.b[n:]
		return n, nil
	}
	<-b.fail
	return 0, io.ErrClosedPipe
}

// TestBrokenOff sends less than announced: what came can be gone on with, and
// nothing becomes a blob by itself.
func TestBrokenOff(t *testing.T) {
	r := newRig(t)
	b := random(3 << 20)
	d := digest.FromBytes(b)
	r.push("ada", repoA, []byte("x"))
	loc := r.begin(repoA)
	for _, method := range []string{"PATCH", "PUT"} {
		cut := &breaking{b[:2<<20], make(chan struct{})}
		close(cut.fail)
		a := ask{as: "ada", method: method, path: loc, body: cut, length: int64(len(b))}
		if method == "PUT" {
			loc = r.begin(repoA)
			a.path, a.query = loc, url.Values{"digest": {d.String()}}
		}
		if _, err := r.try(a); err == nil {
			t.Fatalf("%s: a body that broke off was answered", method)
		}
		var at answer
		runtimetest.Eventually(t, 10*time.Second, "the bytes that came are counted", func() bool {
			at = r.do(ask{as: "ada", method: "GET", path: loc}, 204)
			return at.Header.Get("Range") != "0-0"
		})
		// The server may still be reading what is under way: a new request takes over.
		var from int
		runtimetest.Eventually(t, 10*time.Second, "the upload goes on", func() bool {
			at = r.do(ask{as: "ada", method: "GET", path: loc}, 204)
			if _, err := fmt.Sscanf(at.Header.Get("Range"), "0-%d", &from); err != nil {
				t.Fatal(err)
			}
			from++
			res := r.do(chunk(b, from, len(b)).last(d).at(loc), 201, 416)
			return res.StatusCode == 201
		})
		r.expectBlob(repoA, d, b)
	}
	// In one request nobody could go on with it: nothing is kept.
	cut := &breaking{random(1 << 20), make(chan struct{})}
	close(cut.fail)
	if _, err := r.try(ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/", query: url.Values{"digest": {digest.FromString("y").String()}}, body: cut, length: 2 << 20}); err == nil {
		t.Fatal("answered")
	}
	runtimetest.Eventually(t, 10*time.Second, "nothing unfinished is left", func() bool {
		u, err := r.reg.Usage(t.Context())
		return err == nil && u.Uploads == 0 && r.unfinished() == 0
	})
}

// TestTakeOver lets a client that lost its connection go on while the server still
// waits on the old one.
func TestTakeOver(t *testing.T) {
	r := newRig(t)
	b := random(2 << 20)
	d := digest.FromBytes(b)
	loc := r.begin(repoA)
	hang := &breaking{b[:1<<20], make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.try(ask{as: "ada", method: "PATCH", path: loc, body: hang, length: int64(len(b))}) // is ended by the next
	}()
	runtimetest.Eventually(t, 10*time.Second, "the first half is here", func() bool {
		return r.do(ask{as: "ada", method: "GET", path: loc}, 204).Header.Get("Range") == "0-1048575"
	})
	begin := time.Now()
	r.do(chunk(b, 1<<20, len(b)).last(d).at(loc), 201)
	if took := time.Since(begin); took > 4*time.Second {
		t.Fatalf("it took over after %v", took)
	}
	close(hang.fail)
	<-done
	r.expectBlob(repoA, d, b)
}

// TestEngineKilled kills the engine between and during requests: uploads go on.
func TestEngineKilled(t *testing.T) {
	r := newRig(t)
	b := random(24 << 20)
	d := digest.FromBytes(b)
	loc := r.begin(repoA)
	r.do(chunk(b, 0, 4<<20).at(loc), 202)
	kill := func() {
		t.Helper()
		r.host.KillEngine(syscall.SIGKILL)
		r.host.StartEngine()
	}
	kill()
	r.do(chunk(b, 4<<20, 8<<20).at(loc), 202)

	half := make(chan struct{})
	body := &gated{b: b[8<<20:], stop: 8 << 20, gate: half}
	end := make(chan answer, 1)
	go func() {
		res, err := r.try(ask{as: "ada", method: "PATCH", path: loc, body: body, length: int64(len(b) - 8<<20)})
		if err != nil {
			t.Error(err)
		}
		end <- res
	}()
	runtimetest.Eventually(t, 20*time.Second, "half of the chunk is here", func() bool {
		return r.do(ask{as: "ada", method: "GET", path: loc}, 204).Header.Get("Range") == fmt.Sprintf("0-%d", 16<<20-1)
	})
	kill()
	close(half)
	if res := <-end; res.Response == nil || res.StatusCode != 202 {
		t.Fatalf("%+v %s", res.Response, res.b)
	}
	kill()
	r.do(closing(d).at(loc), 201)
	r.expectBlob(repoA, d, b)
	if open := r.unfinished(); open != 0 {
		t.Fatalf("%d unfinished writes are left", open)
	}
}

// gated is a body that waits in its middle.
type gated struct {
	b    []byte
	n    int
	stop int
	gate chan struct{}
}

func (g *gated) Read(p []byte) (int, error) {
	if g.n == g.stop {
		<-g.gate
	}
	if g.n == len(g.b) {
		return 0, io.EOF
	}
	limit := len(g.b)
	if g.n < g.stop {
		limit = g.stop
	}
	n := copy(p, g.b[g.n:limit])
	g.n += n
	return n, nil
}

// TestDaemonRestarted goes on with an upload in the next daemon, with the engine
// killed besides; what the last one left half written is given back.
func TestDaemonRestarted(t *testing.T) {
	r := newRig(t)
	b := random(6 << 20)
	for _, algo := range algorithms {
		d := algo.FromBytes(b)
		loc := r.begin(repoA)
		r.do(chunk(b, 0, 2<<20).at(loc), 202)
		r.stopRun()
		// As a killed daemon leaves them: a row cut short, bytes without a row.
		if err := os.WriteFile(filepath.Join(r.dir, "uploads", "broken.json"), []byte(`{"id":`), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := r.host.Client.ContentStore().Writer(t.Context(), withRef("skerry-registry-upload-nobody"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("half")); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		r.host.KillEngine(syscall.SIGKILL)
		r.host.StartEngine()
		r.start()
		runtimetest.Eventually(t, 20*time.Second, "the engine is back and swept, as the daemon does", func() bool {
			_, err := r.host.Images.Sweep(t.Context(), func(digest.Digest) bool { return true })
			return err == nil
		})
		res := r.do(ask{as: "ada", method: "GET", path: loc}, 204)
		if res.Header.Get("Range") != "0-2097151" {
			t.Fatalf("%v", res.Header)
		}
		r.do(chunk(b, 0, 1<<20).at(loc), 416)
		r.do(chunk(b, 2<<20, 4<<20).at(loc), 202)
		r.restart()
		r.do(chunk(b, 4<<20, len(b)).last(d).at(loc), 201)
		r.expectBlob(repoA, d, b)
		runtimetest.Eventually(t, 10*time.Second, "what was half written is given back", func() bool { return r.unfinished() == 0 })
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, "uploads")); len(left) != 0 {
		t.Fatalf("%v is left", left)
	}
}

// TestUploadsEnd gives up uploads that wait for a day, or whose repository is
// gone, and bounds their number.
func TestUploadsEnd(t *testing.T) {
	r := newRig(t)
	loc := r.begin(repoA)
	r.do(chunk([]byte("something"), 0, 9).at(loc), 202)
	r.reg.Tend(t.Context(), time.Now().Add(23*time.Hour))
	r.do(ask{as: "ada", method: "GET", path: loc}, 204)
	r.restart()
	r.reg.Tend(t.Context(), time.Now().Add(25*time.Hour))
	r.refused(ask{as: "ada", method: "GET", path: loc}, 404, "BLOB_UPLOAD_UNKNOWN")
	if r.unfinished() != 0 {
		t.Fatal("its bytes are left")
	}
	first := r.begin(repoA)
	for range 99 {
		r.begin(repoA)
	}
	r.refused(ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/"}, 429, "TOOMANYREQUESTS")
	r.do(ask{as: "bob", method: "POST", path: "/v2/other/x/blobs/uploads/"}, 202) // another's are his
	r.do(ask{as: "ada", method: "DELETE", path: first}, 204)
	r.begin(repoA)
}

// TestChunks sends random chunks, in order and not, through restarts of the
// daemon, and compares with a plain slice.
func TestChunks(t *testing.T) {
	r := newRig(t)
	rapid.Check(t, func(rt *rapid.T) {
		b := random(rapid.IntRange(0, 3<<20).Draw(rt, "size"))
		algo := rapid.SampledFrom(algorithms).Draw(rt, "algorithm")
		loc, at := r.begin(repoA), 0
		for range rapid.IntRange(0, 6).Draw(rt, "steps") {
			from := at
			if rapid.IntRange(0, 3).Draw(rt, "wrong") == 0 {
				from = rapid.IntRange(0, len(b)).Draw(rt, "from")
			}
			to := rapid.IntRange(from, len(b)).Draw(rt, "to")
			if to == from {
				continue
			}
			want := 202
			if from != at {
				want = 416
			}
			r.do(chunk(b, from, to).at(loc), want)
			if want == 202 {
				at = to
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				r.restart()
			}
			if got, want := r.do(ask{as: "ada", method: "GET", path: loc}, 204).Header.Get("Range"), fmt.Sprintf("0-%d", max(at-1, 0)); got != want {
				rt.Fatalf("at %s, want %s", got, want)
			}
		}
		d := algo.FromBytes(b)
		if at < len(b) {
			r.do(chunk(b, at, len(b)).last(d).at(loc), 201)
		} else {
			r.do(closing(d).at(loc), 201)
		}
		if res := r.do(ask{as: "ada", method: "GET", path: "/v2/" + repoA + "/blobs/" + d.String()}, 200); !bytes.Equal(res.b, b) {
			rt.Fatal("other bytes")
		}
	})
}

// TestOneTag pushes two images to one tag at once, many times: the tag is one of
// them, and whole.
func TestOneTag(t *testing.T) {
	r := newRig(t)
	const repo = "default/race"
	one, two := r.image("ada", repo, random(1000)), r.image("ada", repo, random(1000))
	for range 20 {
		var both sync.WaitGroup
		for _, m := range []doc{one, two} {
			both.Go(func() {
				res, err := r.try(ask{as: "ada", method: "PUT", path: "/v2/" + repo + "/manifests/latest", body: bytes.NewReader(m.bytes()), header: map[string]string{"Content-Type": m.MediaType}})
				if err != nil || res.StatusCode != 201 {
					t.Errorf("%v %s", err, res.b)
				}
			})
		}
		both.Wait()
		res := r.do(ask{as: "ada", method: "GET", path: "/v2/" + repo + "/manifests/latest"}, 200)
		if !bytes.Equal(res.b, one.bytes()) && !bytes.Equal(res.b, two.bytes()) {
			t.Fatalf("%s", res.b)
		}
		for _, m := range []doc{one, two} {
			r.expectManifest(repo, m.desc().Digest.String(), m, m.desc().Digest)
		}
	}
	if l := r.do(ask{as: "ada", method: "GET", path: "/v2/" + repo + "/tags/list"}, 200); !bytes.Contains(l.b, []byte(`["latest"]`)) {
		t.Fatalf("%s", l.b)
	}
}

// TestParallel pushes the same new blob from many clients at once.
func TestParallel(t *testing.T) {
	r := newRig(t)
	for _, algo := range algorithms {
		b := random(1 << 20)
		d := algo.FromBytes(b)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				res, err := r.try(ask{as: "ada", method: "POST", path: fmt.Sprintf("/v2/default/p%d/blobs/uploads/", i), query: url.Values{"digest": {d.String()}}, body: bytes.NewReader(b)})
				if err != nil || res.StatusCode != http.StatusCreated {
					t.Errorf("%v %s", err, res.b)
				}
			})
		}
		all.Wait()
		for i := range 8 {
			r.expectBlob(fmt.Sprintf("default/p%d", i), d, b)
		}
	}
}

// TestManyPulls pulls one tag from 200 clients at once.
func TestManyPulls(t *testing.T) {
	r := newRig(t)
	layer := random(1 << 20)
	m := r.image("ada", repoA, layer)
	r.put("ada", repoA, "1", m)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			res, err := r.try(ask{as: "vic", method: "GET", path: "/v2/" + repoA + "/manifests/1"})
			if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(res.b, m.bytes()) {
				t.Errorf("%v %s", err, res.b)
			}
			res, err = r.try(ask{as: "vic", method: "GET", path: "/v2/" + repoA + "/blobs/" + m.Layers[0].Digest.String()})
			if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(res.b, layer) {
				t.Errorf("%v, %d bytes", err, len(res.b))
			}
		})
	}
	all.Wait()
}

// TestDiskFull fills a small disk: the push that does not fit says so and leaves
// nothing, a smaller one fits, and what is there can be read.
func TestDiskFull(t *testing.T) {
	t.Run("one disk", func(t *testing.T) { diskFull(t, true) })
	t.Run("the engine's disk", func(t *testing.T) { diskFull(t, false) })
}

func diskFull(t *testing.T, one bool) {
	dir := t.TempDir()
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=72m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r := newRigOn(t, runtimetest.NewAt(t, filepath.Join(dir, "root")), func(r *rig) {
		if one {
			r.dir = filepath.Join(dir, "registry")
		}
	})
	b := random(8 << 20)
	d := r.push("ada", repoA, b)
	big := random(80 << 20)
	full := func(a ask) {
		t.Helper()
		res := r.do(a, 507)
		if len(res.codes()) != 1 || !bytes.Contains(res.b, []byte("disk")) {
			t.Fatalf("%s", res.b)
		}
		if r.unfinished() != 0 {
			t.Fatal("something half done is left")
		}
		if u, err := r.reg.Usage(t.Context()); err != nil || u.Uploads != 0 {
			t.Fatalf("%+v %v", u, err)
		}
	}
	// The engine gives the space back when it has closed the file.
	begin := func() (loc string) {
		t.Helper()
		runtimetest.Eventually(t, 10*time.Second, "there is space again", func() bool {
			res := r.do(ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/"}, 202, 507)
			loc = res.Header.Get("Location")
			return res.StatusCode == 202
		})
		return loc
	}
	// Announced, it is refused before it comes; otherwise when it meets the end.
	full(ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/", query: url.Values{"digest": {digest.FromBytes(big).String()}}, body: bytes.NewReader(big)})
	full(ask{as: "ada", method: "PATCH", path: begin(), body: bytes.NewReader(big)})
	if one {
		full(ask{as: "ada", method: "PATCH", path: begin(), body: io.MultiReader(bytes.NewReader(big))})
	}
	full(ask{as: "ada", method: "PUT", path: begin(), query: url.Values{"digest": {digest.FromBytes(big).String()}}, body: io.MultiReader(bytes.NewReader(big))})
	r.expectBlob(repoA, d, b)
	// To the last bytes.
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 54<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	full(ask{as: "ada", method: "POST", path: "/v2/" + repoA + "/blobs/uploads/"})
	m := doc{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: []desc{}}
	full(ask{as: "ada", method: "PUT", path: "/v2/" + repoA + "/manifests/x", body: bytes.NewReader(m.bytes())})
	r.refused(ask{as: "ada", method: "GET", path: "/v2/" + repoA + "/manifests/x"}, 404, "MANIFEST_UNKNOWN")
	r.expectBlob(repoA, d, b)
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	r.put("ada", repoA, "x", m)
}

// TestSlowDisk: how long an engine that is away is waited for does not bound how
// long a disk may take for what is pushed.
func TestSlowDisk(t *testing.T) {
	var left atomic.Int64
	r := newRig(t, func(c *registry.Config) {
		c.Blobs.Watch(func(ctx context.Context) {
			if end, bound := ctx.Deadline(); bound {
				left.Store(int64(time.Until(end)))
			}
		})
	})
	r.push("ada", repoA, random(1<<20))
	if least := time.Duration(left.Load()); least != 0 && least < time.Minute {
		t.Fatalf("the engine has %s for a commit, in which a disk may not have written a layer of some GB", least)
	}
}

// TestUnfinishedCommit: bytes that come after a commit that broke off do not
// reach the file that it left among the engine's blobs.
func TestUnfinishedCommit(t *testing.T) {
	r := newRig(t)
	r.push("ada", "default/app", []byte("x"))
	head, tail := random(300<<10), random(200<<10)
	loc := r.do(ask{as: "ada", method: "POST", path: "/v2/default/app/blobs/uploads/"}, 202).Header.Get("Location")
	loc = r.do(ask{as: "ada", method: "PATCH", path: loc, body: bytes.NewReader(head)}, 202).Header.Get("Location")
	data, _ := filepath.Glob(filepath.Join(r.dir, "uploads", "*.data"))
	if len(data) != 1 {
		t.Fatalf("%d files of uploads", len(data))
	}
	blob := filepath.Join(r.dir, "left-by-a-commit")
	if err := os.Link(data[0], blob); err != nil {
		t.Fatal(err)
	}
	loc = r.do(ask{as: "ada", method: "PATCH", path: loc, body: bytes.NewReader(tail)}, 202).Header.Get("Location")
	if got, err := os.ReadFile(blob); err != nil || !bytes.Equal(got, head) {
		t.Errorf("the blob has %d bytes now, %v; it had %d", len(got), err, len(head))
	}
	all := append(slices.Clone(head), tail...)
	r.do(ask{as: "ada", method: "PUT", path: loc, query: url.Values{"digest": {digest.FromBytes(all).String()}}}, 201)
}
