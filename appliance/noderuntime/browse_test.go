package noderuntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
	"github.com/skerryhq/skerry/runtime/filetree"
	"github.com/skerryhq/skerry/runtime/volume"
	"github.com/skerryhq/skerry/runtime/workload"
)

// shelf is a runtime with real volumes.
func shelf(t *testing.T) (*Runtime, api.FilePlace, string) {
	t.Helper()
	root := t.TempDir()
	s, err := volume.New(root)
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{NodeID: "n1", Store: state.New(), Volumes: s, Log: slog.New(slog.DiscardHandler)})
	return r, api.FilePlace{Volume: &model.Volume{Meta: model.Meta{ID: "v1", Name: "data"}, NodeID: "n1"}}, filepath.Join(root, "v1", "_data")
}

func TestFilesOfAVolume(t *testing.T) {
	r, at, data := shelf(t)
	ctx := t.Context()
	if l, err := r.ListFiles(ctx, at, "/"); err != nil || len(l.Items) != 0 || l.Path != "/" {
		t.Errorf("a volume that nobody used: %+v %v", l, err)
	}
	if _, err := r.ListFiles(ctx, at, "/x"); model.CodeOf(err) != "path_not_found" {
		t.Errorf("a folder in it: %v", err)
	}
	if e, err := r.WriteFile(ctx, at, "/f", strings.NewReader("one")); err != nil || e.Name != "f" || e.SizeBytes != 3 || e.Type != api.FileTypeFile {
		t.Fatalf("%+v %v", e, err)
	}
	if err := os.WriteFile(filepath.Join(data, "\xfe"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("\xfe", filepath.Join(data, "l")); err != nil {
		t.Fatal(err)
	}
	l, err := r.ListFiles(ctx, at, "/")
	if err != nil || len(l.Items) != 3 {
		t.Fatalf("%+v %v", l, err)
	}
	if e := l.Items[1]; e.Name != "l" || e.Type != api.FileTypeLink || e.LinkTarget != "\uFFFD" {
		t.Errorf("%+v", e)
	}
	if e := l.Items[2]; e.Name != "\uFFFD" || e.RawName != "/g==" {
		t.Errorf("%+v", e)
	}
	torn := errors.New("torn")
	_, err = r.WriteFile(ctx, at, "/f", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(torn)))
	if model.CodeOf(err) != "body_cut" || !errors.Is(err, torn) {
		t.Errorf("a torn upload: %v", err)
	}
	var got []byte
	err = r.ReadFile(ctx, at, "/f", func(e api.FileEntry, f io.ReadSeeker) error {
		got, err = io.ReadAll(f)
		return err
	})
	if err != nil || string(got) != "one" {
		t.Errorf("%q %v", got, err)
	}
	if err := r.ReadFile(ctx, at, "/f", func(api.FileEntry, io.ReadSeeker) error { return torn }); !errors.Is(err, torn) {
		t.Errorf("what sending failed with: %v", err)
	}
	if e, err := r.MakeFolder(ctx, at, "/d"); err != nil || e.Type != api.FileTypeFolder {
		t.Errorf("%+v %v", e, err)
	}
	if _, err := r.WriteFile(ctx, at, "/d/x", strings.NewReader("")); err != nil {
		t.Error(err)
	}
	for code, do := range map[string]func() error{
		"path_exists":      func() error { _, err := r.MakeFolder(ctx, at, "/d"); return err },
		"folder_not_empty": func() error { return r.RemoveFile(ctx, at, "/d", false) },
		"path_is_root":     func() error { return r.RemoveFile(ctx, at, "/", true) },
		"path_is_folder":   func() error { _, err := r.WriteFile(ctx, at, "/d", strings.NewReader("")); return err },
		"path_not_folder":  func() error { _, err := r.ListFiles(ctx, at, "/f"); return err },
		"path_not_found":   func() error { return r.RemoveFile(ctx, at, "/none", false) },
		"path_invalid":     func() error { _, err := r.MakeFolder(ctx, at, "/"+strings.Repeat("x", 256)); return err },
	} {
		err := do()
		if model.CodeOf(err) != code || !strings.Contains(err.Error(), "the volume data") && code != "path_invalid" {
			t.Errorf("%s: got %q, %v", code, model.CodeOf(err), err)
		}
	}
	away := api.FilePlace{Volume: &model.Volume{Meta: model.Meta{ID: "v1", Name: "data"}, NodeID: "n2"}}
	if _, err := r.ListFiles(ctx, away, "/"); model.CodeOf(err) != "node_away" {
		t.Errorf("of another node: %v", err)
	}
}

// filesFail is a container whose files give an error.
type filesFail struct {
	hull
	err error
}

func (f filesFail) Files(context.Context, workload.ID, func(filetree.Tree) error) error {
	return fmt.Errorf("files of container c1: %w", f.err)
}

func TestFileErrorsAreSentences(t *testing.T) {
	w := newWorld(t)
	for _, s := range fileSentences {
		r := w.runtime(nil, filesFail{err: s.err})
		err := r.RemoveFile(t.Context(), api.FilePlace{Container: w.container()}, "/x", false)
		if model.KindOf(err) != s.kind || model.CodeOf(err) != s.code || !strings.Contains(err.Error(), "shop-web-1") {
			t.Errorf("%v: %v", s.err, err)
		}
	}
	for err, code := range map[error]string{
		syscall.ENOSPC: "disk_full", syscall.EDQUOT: "disk_full", syscall.EPERM: "file_protected", workload.ErrNotFound: "container_not_ready", workload.ErrUnavailable: "engine_away",
	} {
		r := w.runtime(nil, filesFail{err: err})
		if _, got := r.MakeFolder(t.Context(), api.FilePlace{Container: w.container()}, "/x"); model.CodeOf(got) != code {
			t.Errorf("%v: %v", err, got)
		}
	}
}
