package api

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// testTLS is a server certificate for 127.0.0.1 of an authority of its own.
func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	dir := t.TempDir()
	box, err := pki.OpenBox(dir + "/box.key")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.OpenAuthority(dir, box, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.OpenCertificates(pki.Config{Dir: dir, ID: "one", Hosts: func() []string { return []string{"127.0.0.1", "localhost"} }}, ca)
	if err != nil {
		t.Fatal(err)
	}
	conf := certs.ServerTLS()
	testRoots = x509.NewCertPool()
	testRoots.AppendCertsFromPEM(ca.CertPEM)
	return conf
}

// testRoots is the authority of the newest testTLS.
var testRoots *x509.CertPool

// fakeOperations is a small working implementation: apps are really written,
// images come from nowhere.
type fakeOperations struct {
	node     *node.Node
	mu       sync.Mutex
	imported int64 // bytes that ImportImage read
}

func (f *fakeOperations) ParseCompose(_ context.Context, _ access.Caller, in ComposeInput) (*Compose, error) {
	if strings.Contains(in.Source, "build:") {
		return nil, &ComposeError{Problems: []ComposeProblem{{Line: 3, Column: 5, Path: "services.web.build", Message: "building is not supported"}}}
	}
	return &Compose{Name: in.Name, Services: map[string]ServiceSpec{}, Volumes: []string{}, Problems: []ComposeProblem{}}, nil
}

func (f *fakeOperations) ComposeSchema() ([]byte, error) { return []byte(`{"type":"object"}`), nil }

func (f *fakeOperations) PlanApp(_ context.Context, c access.Caller, in AppChange) (*AppPlan, error) {
	p := &AppPlan{Name: in.Name, Action: PlanActionCreate, Services: []PlanService{}}
	if _, there := f.node.View().AppByName(c.TenantID(), in.Name); there {
		p.Action = PlanActionUpdate
	}
	return p, nil
}

func (f *fakeOperations) put(ctx context.Context, c access.Caller, a model.App, expect uint64) (*model.App, error) {
	ids := map[string]string{}
	for name := range a.Spec.Services {
		ids[name] = command.NewID()
	}
	if _, err := f.node.Propose(ctx, &command.PutApp{Head: command.By(c.Origin), App: a, ExpectVersion: expect, ServiceIDs: ids}); err != nil {
		return nil, err
	}
	got, ok := f.node.View().App(a.ID)
	if !ok {
		return nil, notFound("app", a.ID)
	}
	return got, nil
}

func (f *fakeOperations) CreateApp(ctx context.Context, c access.Caller, in AppChange, report Report) (*model.App, error) {
	env, err := f.node.View().FindEnvironment(model.DefaultEnvironment)
	if err != nil {
		return nil, err
	}
	if in.Pull == PullPolicyAlways {
		report(Progress{ID: "layer", Step: "pulling", Current: 1, Total: 2})
	}
	return f.put(ctx, c, model.App{Meta: model.Meta{ID: command.NewID(), Name: in.Name}, TenantID: c.TenantID(), EnvironmentID: env.ID,
		Spec: model.AppSpec{Source: in.Source, Services: in.Services}}, command.MustNotExist)
}

func (f *fakeOperations) UpdateApp(ctx context.Context, c access.Caller, id string, expect uint64, in AppChange, _ Report) (*model.App, error) {
	a, ok := f.node.View().App(id)
	if !ok {
		return nil, notFound("app", id)
	}
	next := *a
	next.Spec.Services = in.Services
	return f.put(ctx, c, next, expect)
}

func (f *fakeOperations) RollbackApp(ctx context.Context, c access.Caller, id string, expect, number uint64, _ Report) (*model.App, error) {
	a, _ := f.node.View().App(id)
	rev, ok := f.node.View().Revision(id, number)
	if !ok {
		return nil, notFound("revision", fmt.Sprint(number))
	}
	next := *a
	next.Spec = rev.Spec
	return f.put(ctx, c, next, expect)
}

func (f *fakeOperations) RemoveApp(ctx context.Context, c access.Caller, id string, expect uint64, _ RemoveOptions) error {
	_, err := f.node.Propose(ctx, &command.RemoveApp{Head: command.By(c.Origin), ID: id, ExpectVersion: expect})
	return err
}

func (f *fakeOperations) UpdateService(ctx context.Context, c access.Caller, id string, expect uint64, in ServiceChange, _ Report) (*model.Service, error) {
	if in.Replicas != nil {
		if _, err := f.node.Propose(ctx, &command.SetServiceReplicas{Head: command.By(c.Origin), ServiceID: id, ExpectVersion: expect, Replicas: *in.Replicas}); err != nil {
			return nil, err
		}
	}
	svc, _ := f.node.View().Service(id)
	return svc, nil
}

func (f *fakeOperations) RemoveContainer(ctx context.Context, c access.Caller, id string, _ uint64, force bool) error {
	o, ok := f.node.View().Container(id)
	if !ok {
		return notFound("container", id)
	}
	if o.Status.Phase == model.PhaseRunning && !force {
		return model.Errorf(model.KindConflict, "container_running", "it runs")
	}
	return f.RemoveApp(ctx, c, o.AppID, command.AnyVersion, RemoveOptions{})
}

func (f *fakeOperations) image(ctx context.Context, c access.Caller, name string) (*model.Image, error) {
	img := model.Image{Meta: model.Meta{ID: command.NewID(), Name: name}, TenantID: c.TenantID(), Digest: "sha256:" + strings.Repeat("cd", 32), SizeBytes: 7}
	if _, err := f.node.Propose(ctx, &command.PutImage{Head: command.By(c.Origin), Image: img}); err != nil {
		return nil, err
	}
	got, _ := f.node.View().ImageByName(c.TenantID(), name)
	return got, nil
}

func (f *fakeOperations) PullImage(ctx context.Context, c access.Caller, in PullInput, report Report) (*model.Image, error) {
	report(Progress{ID: "layer", Step: "pulling", Current: 1, Total: 2})
	if strings.Contains(in.Image, "missing") {
		return nil, model.Errorf(model.KindNotFound, "image_unknown", "there is no image %q", in.Image)
	}
	return f.image(ctx, c, in.Image)
}

// earlyBytes is how much an import named "early" reads: all, but not its end.
const earlyBytes = 1000

func (f *fakeOperations) ImportImage(ctx context.Context, c access.Caller, name string, body io.Reader, report Report) ([]*model.Image, error) {
	report(Progress{ID: "archive", Step: "importing"})
	if strings.Contains(name, "early") { // a real one stops where the archive ends
		_, err := io.ReadFull(body, make([]byte, earlyBytes)) // the end of the chunks stays unread
		if err != nil {
			return nil, err
		}
		img, err := f.image(ctx, c, name)
		return []*model.Image{img}, err
	}
	n, err := io.Copy(io.Discard, body)
	if err != nil {
		return nil, &model.Error{Kind: model.KindInvalid, Code: "archive_cut", Detail: "the archive ended early", Err: err}
	}
	f.mu.Lock()
	f.imported = n
	f.mu.Unlock()
	img, err := f.image(ctx, c, name)
	return []*model.Image{img}, err
}

func (f *fakeOperations) CommitContainer(ctx context.Context, c access.Caller, _ string, in CommitInput) (*PushResult, error) {
	img, err := f.image(ctx, c, in.Image)
	if err != nil {
		return nil, err
	}
	return &PushResult{Name: img.Name, Digest: img.Digest}, nil
}

func (f *fakeOperations) DeleteImage(ctx context.Context, c access.Caller, id string, expect uint64) error {
	_, err := f.node.Propose(ctx, &command.DeleteImage{Head: command.By(c.Origin), ID: id, ExpectVersion: expect})
	return err
}

// fakeRuntime is a small working container runtime: `echo` and `cat` run,
// files live in memory.
type fakeRuntime struct {
	mu    sync.Mutex
	lines []LogLine
	more  chan struct{} // closed and replaced when lines are added
	files map[string]string
	sent  []string // signals
	root  string   // folder of the files of all containers and volumes
}

func newFakeRuntime() *fakeRuntime {
	return &fakeRuntime{more: make(chan struct{}), files: map[string]string{}}
}

func (f *fakeRuntime) add(lines ...LogLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, lines...)
	close(f.more)
	f.more = make(chan struct{})
}

func (f *fakeRuntime) Logs(ctx context.Context, of []*model.Container, q LogQuery, each func(LogLine) error) error {
	for next := 0; ; {
		f.mu.Lock()
		lines, more := f.lines[next:], f.more
		f.mu.Unlock()
		next += len(lines)
		for _, l := range lines {
			wanted := (l.Stream == LogStreamStdout && q.Stdout) || (l.Stream == LogStreamStderr && q.Stderr)
			if wanted && strings.Contains(l.Line, q.Search) && (q.Since.IsZero() || !l.Time.Before(q.Since)) {
				if err := each(l); err != nil {
					return err
				}
			}
		}
		if !q.Follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

func (f *fakeRuntime) Exec(ctx context.Context, _ *model.Container, spec ExecSpec, s Streams) (int, error) {
	switch spec.Command[0] {
	case "echo":
		_, err := fmt.Fprintln(s.Stdout, strings.Join(spec.Command[1:], " "))
		return 0, err
	case "cat":
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 0, err
	case "read": // tells how its input ended
		end := "ended"
		if _, err := io.Copy(io.Discard, s.Stdin); err != nil {
			end = "broke off"
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sent = append(f.sent, end)
		return 0, nil
	case "fail":
		_, err := fmt.Fprint(s.Stderr, "it failed\n")
		return 3, err
	case "size": // ends when it has seen a resize
		select {
		case size := <-s.Resize:
			_, err := fmt.Fprintf(s.Stdout, "%dx%d", size.Cols, size.Rows)
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	case "wait": // ends with a signal or with the client
		select {
		case sig, ok := <-s.Signals:
			if ok {
				_, err := fmt.Fprint(s.Stdout, sig)
				return 130, err
			}
			<-ctx.Done() // both end with the connection
		case <-ctx.Done():
		}
		f.mu.Lock()
		f.sent = append(f.sent, "gone")
		f.mu.Unlock()
		return 0, ctx.Err()
	}
	return 127, nil
}

func (f *fakeRuntime) Attach(ctx context.Context, c *model.Container, stdin bool, s Streams) (int, error) {
	return f.Exec(ctx, c, ExecSpec{Command: []string{"cat"}}, s)
}

func (f *fakeRuntime) Signal(_ context.Context, _ *model.Container, signal string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, signal)
	return nil
}

func (f *fakeRuntime) Stats(context.Context, *model.Container) (ContainerStats, error) {
	return ContainerStats{MemoryBytes: 42}, nil
}

func (f *fakeRuntime) NodeStats(context.Context, *model.Node) (NodeStats, error) {
	return NodeStats{Cpus: 2, DiskTotalBytes: 100, DiskUsedBytes: 95, MemoryTotalBytes: 100, MemoryUsedBytes: 10}, nil
}

func (f *fakeRuntime) StatPath(_ context.Context, _ *model.Container, path string) (PathStat, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, ok := f.files[path]
	if !ok {
		return PathStat{}, model.Errorf(model.KindNotFound, "path_unknown", "there is no %q in the container", path)
	}
	return PathStat{Name: path, Size: int64(len(content)), Mode: 0o644}, nil
}

func (f *fakeRuntime) ReadArchive(ctx context.Context, c *model.Container, path string) (PathStat, io.ReadCloser, error) {
	st, err := f.StatPath(ctx, c, path)
	if err != nil {
		return st, nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Size: st.Size, Mode: 0o644})
	_, _ = w.Write([]byte(f.files[path]))
	return st, io.NopCloser(&b), w.Close()
}

func (f *fakeRuntime) WriteArchive(_ context.Context, _ *model.Container, path string, body io.Reader) error {
	for r := tar.NewReader(body); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return model.Errorf(model.KindInvalid, "archive_invalid", "this is no tar")
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.files[path+"/"+h.Name] = string(b)
		f.mu.Unlock()
	}
}

func (f *fakeRuntime) ImageConfig(context.Context, *model.Image) (*ImageConfig, []ImageLayer, error) {
	return &ImageConfig{Os: "linux"}, []ImageLayer{{Digest: "sha256:1", SizeBytes: 1}}, nil
}

func (f *fakeRuntime) ExportImage(_ context.Context, img *model.Image, w io.Writer) error {
	if strings.Contains(img.Name, "broken") {
		_, _ = w.Write([]byte("half a tar"))
		return fmt.Errorf("disk read: %w", io.ErrUnexpectedEOF)
	}
	_, err := io.WriteString(w, "tar of "+img.Name)
	return err
}

func (f *fakeRuntime) VolumeUsage(context.Context, *model.Volume) (int64, error) { return 4096, nil }
