package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/filetree"
)

// The files of the fake runtime are a real folder, the same for every container
// and volume.

func (f *fakeRuntime) tree(do func(filetree.Tree) error) error {
	d, err := os.Open(f.root)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	err = do(filetree.At(int(d.Fd())))
	if errors.Is(err, filetree.ErrNotFound) {
		return model.Errorf(model.KindNotFound, "path_not_found", "there is no such file")
	}
	return err
}

func fakeEntry(e filetree.Entry) FileEntry {
	out := FileEntry{Name: e.Name, Type: FileTypeFile, SizeBytes: e.Size, Mode: int(e.Mode), ModifiedAt: e.ModTime.UTC()}
	if e.Kind == filetree.Folder {
		out.Type = FileTypeFolder
	}
	if !utf8.ValidString(e.Name) {
		out.RawName = base64.StdEncoding.EncodeToString([]byte(e.Name))
	}
	return out
}

func (f *fakeRuntime) ListFiles(ctx context.Context, _ FilePlace, path string) (FileList, error) {
	out := FileList{Path: path, Items: []FileEntry{}}
	err := f.tree(func(t filetree.Tree) error {
		all, _, err := t.List(ctx, path)
		for _, e := range all {
			out.Items = append(out.Items, fakeEntry(e))
		}
		return err
	})
	return out, err
}

func (f *fakeRuntime) ReadFile(_ context.Context, _ FilePlace, path string, send func(FileEntry, io.ReadSeeker) error) error {
	return f.tree(func(t filetree.Tree) error {
		file, e, err := t.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		return send(fakeEntry(e), file)
	})
}

func (f *fakeRuntime) WriteFile(ctx context.Context, _ FilePlace, path string, body io.Reader) (out FileEntry, err error) {
	err = f.tree(func(t filetree.Tree) error {
		e, err := t.Write(ctx, path, body)
		out = fakeEntry(e)
		return err
	})
	return out, err
}

func (f *fakeRuntime) RemoveFile(ctx context.Context, _ FilePlace, path string, recursive bool) error {
	return f.tree(func(t filetree.Tree) error { return t.Remove(ctx, path, recursive) })
}

func (f *fakeRuntime) MakeFolder(_ context.Context, _ FilePlace, path string) (out FileEntry, err error) {
	err = f.tree(func(t filetree.Tree) error {
		e, err := t.Mkdir(path)
		out = fakeEntry(e)
		return err
	})
	return out, err
}

func fakeMetrics(id string, w Window) (Metrics, error) {
	step := max(w.Step, time.Second)
	one := 0.5
	return Metrics{From: w.From, To: w.To, StepSeconds: int(step.Seconds()), Series: []MetricSeries{
		{Metric: "cpu", Unit: "cores", ContainerID: id, Values: []*float64{&one, nil}},
	}}, nil
}

func (f *fakeRuntime) ContainerMetrics(_ context.Context, c *model.Container, w Window) (Metrics, error) {
	return fakeMetrics(c.ID, w)
}

func (f *fakeRuntime) ServiceMetrics(_ context.Context, s *model.Service, w Window) (Metrics, error) {
	return fakeMetrics(s.ID, w)
}

func (f *fakeRuntime) NodeMetrics(_ context.Context, n *model.Node, w Window) (Metrics, error) {
	if n.Name == "" {
		return Metrics{}, fmt.Errorf("node without a name")
	}
	return fakeMetrics(n.ID, w)
}
