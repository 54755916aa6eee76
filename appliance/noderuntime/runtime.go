package noderuntime

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/mirror"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/volume"
)

// Config is what the answers are made of; every field but Recorder, Peers and
// Bring is required.
type Config struct {
	NodeID     string
	DataDir    string // whose file system NodeStats measures
	Store      *state.Store
	Containers Containers
	Images     *image.Store
	Sources    *mirror.Mirror // where images come from outside
	Logs       Logs
	Volumes    *volume.Store
	Recorder   Recorder // nil: nothing is recorded
	Peers      Peers    // nil: this node is alone
	// Bring makes an image that another node has be here; nil: there is no other.
	Bring func(ctx context.Context, digest string, report func(image.Progress)) error
	Log   *slog.Logger
}

// Runtime reaches the containers of all nodes, from a member: the state says
// where they are.
type Runtime struct {
	*Local
	cfg Config
}

// New makes a Runtime.
func New(cfg Config) *Runtime {
	return &Runtime{cfg: cfg, Local: NewLocal(LocalConfig{
		NodeID: cfg.NodeID, DataDir: cfg.DataDir, Containers: cfg.Containers, Images: cfg.Images, Sources: cfg.Sources,
		Logs: cfg.Logs, Volumes: cfg.Volumes, Recorder: cfg.Recorder, Log: cfg.Log,
	})}
}

var (
	_ api.NodeRuntime  = (*Runtime)(nil)
	_ operation.Images = (*Runtime)(nil)
)

// Holds is what the state assigns to this node.
func (r *Runtime) Holds() Holdings {
	return Holdings{
		Container: func(id string) bool {
			c, ok := r.cfg.Store.View().Container(id)
			return ok && c.Assign.NodeID == r.cfg.NodeID
		},
		Volume: func(id string) bool {
			v, ok := r.cfg.Store.View().Volume(id)
			return ok && v.NodeID == r.cfg.NodeID
		},
	}
}

// at gives the way to a node; false if it is this one. An object without a node
// is answered for here.
func (r *Runtime) at(nodeID string) (there, bool) {
	if nodeID == "" || nodeID == r.cfg.NodeID {
		return there{}, false
	}
	t := there{id: nodeID, name: nodeID, http: noWay}
	if n, ok := r.cfg.Store.View().Node(nodeID); ok {
		t.name = n.Name
	}
	if r.cfg.Peers != nil {
		t.http = r.cfg.Peers.Client(nodeID)
	}
	return t, true
}

func (r *Runtime) of(c *model.Container) (t there, what string, far bool) {
	t, far = r.at(c.Assign.NodeID)
	return t, "the container " + c.Name, far
}

func (r *Runtime) ofPlace(at api.FilePlace) (there, bool) {
	if at.Container != nil {
		return r.at(at.Container.Assign.NodeID)
	}
	return r.at(at.Volume.NodeID)
}

// readLog is ReadLog on whatever node a container is.
func (r *Runtime) readLog(ctx context.Context, c *model.Container, q api.LogQuery) iter.Seq2[api.LogLine, error] {
	if t, _, far := r.of(c); far {
		return t.readLog(ctx, c, q)
	}
	return r.ReadLog(ctx, c, q)
}

// Exec runs a command in a container and gives its exit code.
func (r *Runtime) Exec(ctx context.Context, c *model.Container, spec api.ExecSpec, s api.Streams) (int, error) {
	if t, _, far := r.of(c); far {
		return t.terminal(ctx, "exec", c, ask{Exec: &spec}, spec.Stdin, s)
	}
	return r.Local.Exec(ctx, c, spec, s)
}

// Attach joins a container's own streams until its task ends, and gives its exit
// code.
func (r *Runtime) Attach(ctx context.Context, c *model.Container, stdin bool, s api.Streams) (int, error) {
	task := c.Status.Task
	var err error
	if t, _, far := r.of(c); far {
		_, err = t.terminal(ctx, "attach", c, ask{}, stdin, s)
	} else {
		err = r.Local.Attach(ctx, c, stdin, s)
	}
	if model.CodeOf(err) == codeNotRunning {
		if ended, code := r.over(c.ID, task); ended {
			return code, nil
		}
	}
	if err != nil {
		return 0, err
	}
	return r.exitCode(ctx, c.ID, task)
}

// over reports whether the state knows that a task has ended, and its code.
func (r *Runtime) over(id string, task uint64) (bool, int) {
	c, ok := r.cfg.Store.View().Container(id)
	if !ok {
		return true, 0
	}
	return taskOver(c, task)
}

func taskOver(c *model.Container, task uint64) (bool, int) {
	st := c.Status
	if (st.Task > task || st.Phase == model.PhaseExited || st.Phase == model.PhaseBackoff) && st.ExitCode != nil {
		return true, *st.ExitCode
	}
	return st.Task > task, 0
}

// exitCode waits until the state says how a task ended.
func (r *Runtime) exitCode(ctx context.Context, id string, task uint64) (int, error) {
	errOver := errors.New("over")
	code := 0
	err := state.Watch(ctx, r.cfg.Store, func(v *state.View) (*model.Container, error) {
		c, _ := v.Container(id)
		return c, nil
	}, func(_ context.Context, c *model.Container) error {
		if c == nil {
			return errOver
		}
		ended, with := taskOver(c, task)
		if !ended {
			return nil
		}
		code = with
		return errOver
	})
	if errors.Is(err, errOver) {
		return code, nil
	}
	return 0, err
}

// Signal sends a signal to the container's first process.
func (r *Runtime) Signal(ctx context.Context, c *model.Container, signal string) error {
	if t, what, far := r.of(c); far {
		_, err := call[nothing](ctx, t, "signal", what, ask{Container: about(c), Signal: signal}, nil)
		return err
	}
	return r.Local.Signal(ctx, c, signal)
}

// Stats measures a running container.
func (r *Runtime) Stats(ctx context.Context, c *model.Container) (api.ContainerStats, error) {
	if t, what, far := r.of(c); far {
		return call[api.ContainerStats](ctx, t, "stats", what, ask{Container: about(c)}, nil)
	}
	return r.Local.Stats(ctx, c)
}

// StatPath describes a path in a container.
func (r *Runtime) StatPath(ctx context.Context, c *model.Container, name string) (api.PathStat, error) {
	if t, what, far := r.of(c); far {
		return call[api.PathStat](ctx, t, "path", what, ask{Container: about(c), Path: []byte(name)}, nil)
	}
	return r.Local.StatPath(ctx, c, name)
}

// ReadArchive gives a tar of one file or folder.
func (r *Runtime) ReadArchive(ctx context.Context, c *model.Container, name string) (api.PathStat, io.ReadCloser, error) {
	t, what, far := r.of(c)
	if !far {
		return r.Local.ReadArchive(ctx, c, name)
	}
	var stat api.PathStat
	resp, err := t.do(ctx, "archive/read", what, &ask{Container: about(c), Path: []byte(name)}, nil)
	if err != nil {
		return stat, nil, err
	}
	if err := decodeHeader(resp.Header.Get(headerSaid), &stat); err != nil {
		return stat, nil, errors.Join(err, resp.Body.Close())
	}
	return stat, resp.Body, nil
}

// WriteArchive unpacks a tar into an existing folder of a container.
func (r *Runtime) WriteArchive(ctx context.Context, c *model.Container, dir string, tar io.Reader) error {
	if t, what, far := r.of(c); far {
		_, err := call[nothing](ctx, t, "archive/write", what, ask{Container: about(c), Path: []byte(dir)}, tar)
		return err
	}
	return r.Local.WriteArchive(ctx, c, dir, tar)
}

// ListFiles describes what is in a folder.
func (r *Runtime) ListFiles(ctx context.Context, at api.FilePlace, name string) (api.FileList, error) {
	if t, far := r.ofPlace(at); far {
		return call[api.FileList](ctx, t, "files/list", place(at), askAt(at, name), nil)
	}
	return r.Local.ListFiles(ctx, at, name)
}

// ReadFile gives an open file to send. What send fails with is returned as it is.
func (r *Runtime) ReadFile(ctx context.Context, at api.FilePlace, name string, send func(api.FileEntry, io.ReadSeeker) error) error {
	t, far := r.ofPlace(at)
	if !far {
		return r.Local.ReadFile(ctx, at, name, send)
	}
	f := &file{open: func(offset int64) (api.FileEntry, io.ReadCloser, error) {
		var e api.FileEntry
		a := askAt(at, name)
		a.Offset = offset
		resp, err := t.do(ctx, "files/read", place(at), &a, nil)
		if err != nil {
			return e, nil, err
		}
		if err := decodeHeader(resp.Header.Get(headerSaid), &e); err != nil {
			return e, nil, errors.Join(err, resp.Body.Close())
		}
		return e, resp.Body, nil
	}}
	e, body, err := f.open(0)
	if err != nil {
		return err
	}
	f.size, f.body = e.SizeBytes, body
	defer f.close()
	return send(e, f)
}

// WriteFile makes a file hold what body gives.
func (r *Runtime) WriteFile(ctx context.Context, at api.FilePlace, name string, body io.Reader) (api.FileEntry, error) {
	t, far := r.ofPlace(at)
	if !far {
		return r.Local.WriteFile(ctx, at, name, body)
	}
	from := &noting{from: body}
	e, err := call[api.FileEntry](ctx, t, "files/write", place(at), askAt(at, name), from)
	if from.err != nil {
		return e, bodyCut(err)
	}
	return e, err
}

// RemoveFile removes a file, link or folder.
func (r *Runtime) RemoveFile(ctx context.Context, at api.FilePlace, name string, recursive bool) error {
	if t, far := r.ofPlace(at); far {
		a := askAt(at, name)
		a.Recursive = recursive
		_, err := call[nothing](ctx, t, "files/remove", place(at), a, nil)
		return err
	}
	return r.Local.RemoveFile(ctx, at, name, recursive)
}

// MakeFolder makes a folder.
func (r *Runtime) MakeFolder(ctx context.Context, at api.FilePlace, name string) (api.FileEntry, error) {
	if t, far := r.ofPlace(at); far {
		return call[api.FileEntry](ctx, t, "files/folder", place(at), askAt(at, name), nil)
	}
	return r.Local.MakeFolder(ctx, at, name)
}

// VolumeUsage measures a volume in bytes on disk.
func (r *Runtime) VolumeUsage(ctx context.Context, v *model.Volume) (int64, error) {
	if t, far := r.at(v.NodeID); far {
		return call[int64](ctx, t, "volume", "the volume "+v.Name, askAt(api.FilePlace{Volume: v}, ""), nil)
	}
	return r.Local.VolumeUsage(ctx, v)
}

// holders are the other nodes that may have an image, those that are known to
// have it first.
func (r *Runtime) holders(img *model.Image) []there {
	v := r.cfg.Store.View()
	var out []there
	for _, id := range img.NodeIDs {
		if n, ok := v.Node(id); ok && !n.Down() {
			if t, far := r.at(id); far {
				out = append(out, t)
			}
		}
	}
	for n := range v.Nodes() {
		if n.Member() && !n.Down() && !slices.Contains(img.NodeIDs, n.ID) {
			if t, far := r.at(n.ID); far {
				out = append(out, t)
			}
		}
	}
	return out
}

// elsewhere asks nodes about an image until one has it. err is why it is not
// answered here.
func (r *Runtime) elsewhere(img *model.Image, err error, do func(there, ask) error) error {
	if model.CodeOf(err) != codeNoImage {
		return err
	}
	a := ask{Image: &model.Image{Meta: model.Meta{ID: img.ID, Name: img.Name}, Digest: img.Digest}}
	for _, t := range r.holders(img) {
		if next := do(t, a); !isAway(next) && model.CodeOf(next) != codeNoImage {
			return next
		} else if isAway(next) {
			err = next // more to the point than that it is not here
		}
	}
	return err
}

// ImageConfig reads an image's configuration and layers.
func (r *Runtime) ImageConfig(ctx context.Context, img *model.Image) (*api.ImageConfig, []api.ImageLayer, error) {
	cfg, layers, err := r.Local.ImageConfig(ctx, img)
	if err == nil {
		return cfg, layers, nil
	}
	var d imageDescription
	err = r.elsewhere(img, err, func(t there, a ask) (err error) {
		d, err = call[imageDescription](ctx, t, "images/config", "the image "+img.Name, a, nil)
		return err
	})
	return d.Config, d.Layers, err
}

// ExportImage writes an image as a tar.
func (r *Runtime) ExportImage(ctx context.Context, img *model.Image, w io.Writer) error {
	return r.elsewhere(img, r.Local.ExportImage(ctx, img, w), func(t there, a ask) error {
		resp, err := t.do(ctx, "images/export", "the image "+img.Name, &a, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if n, err := io.Copy(w, resp.Body); err != nil && n > 0 {
			return &model.Error{Kind: model.KindUnavailable, Code: "export_cut", Detail: "the export broke off; try again", Err: err}
		} else if err != nil {
			return err
		}
		return nil
	})
}

// Commit makes an image of a container's layer, here: what another node makes is
// brought over.
func (r *Runtime) Commit(ctx context.Context, c *model.Container, in api.CommitInput) (operation.Stored, error) {
	t, what, far := r.of(c)
	if !far {
		return r.Local.Commit(ctx, c, in)
	}
	out, err := call[operation.Stored](ctx, t, "commit", what, ask{Container: about(c), Commit: &in}, nil)
	if err != nil || r.cfg.Bring == nil {
		return out, err
	}
	return out, r.cfg.Bring(ctx, out.Digest, nil)
}

// gathered does something that needs an image here; where it is not here, it is
// brought and done again.
func (r *Runtime) gathered(ctx context.Context, dgst string, report api.Report, do func() error) error {
	err := do()
	if code := model.CodeOf(err); err == nil || r.cfg.Bring == nil || code != codeNoImage && code != "image_refused" {
		return err
	}
	switch berr := r.cfg.Bring(ctx, dgst, steps(report)); {
	case model.CodeOf(berr) == "image_nowhere":
		return err
	case berr != nil:
		return berr
	}
	return do()
}

// Adopt makes an image of what a repository of the cluster holds, here or on
// another member.
func (r *Runtime) Adopt(ctx context.Context, d model.Descriptor, report api.Report) error {
	return r.gathered(ctx, d.Digest, report, func() error { return r.Local.Adopt(ctx, d, report) })
}

// HostPart gives the manifest of an image that this host runs.
func (r *Runtime) HostPart(ctx context.Context, dgst string) (out model.Descriptor, err error) {
	err = r.gathered(ctx, dgst, func(api.Progress) {}, func() (err error) {
		out, err = r.Local.HostPart(ctx, dgst)
		return err
	})
	return out, err
}

// Push sends an image to another registry as the caller may.
func (r *Runtime) Push(ctx context.Context, c access.Caller, d model.Descriptor, ref, username, password string, report api.Report) (dgst string, sent int64, err error) {
	err = r.gathered(ctx, d.Digest, report, func() (err error) {
		dgst, sent, err = r.Local.Push(ctx, c, d, ref, username, password, report)
		return err
	})
	return dgst, sent, err
}

// AdoptMissing makes an image again that the engine has lost the record of, if a
// repository holds it. It reports whether one does.
func (r *Runtime) AdoptMissing(ctx context.Context, dgst string) (bool, error) {
	for m := range r.cfg.Store.View().ManifestsOfDigest(dgst) {
		return true, r.Local.Adopt(ctx, m.Descriptor, func(api.Progress) {})
	}
	return false, nil
}

// Sweep gives back what imports and pulls left that a crash interrupted, and
// images that no row needs any more. Call it when the state is complete and no
// request is served yet.
func (r *Runtime) Sweep(ctx context.Context) error {
	needed := registry.RecordsInUse(r.cfg.Store.View())
	return r.SweepImages(ctx, func(d digest.Digest) bool { return needed(d) })
}
