package noderuntime

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/filetree"
	"github.com/skerryhq/skerry/runtime/workload"
)

// in runs do on the files of a container or volume. create makes a volume that
// no container has used yet.
func (r *Local) in(ctx context.Context, at api.FilePlace, create bool, do func(filetree.Tree) error) error {
	if at.Container != nil {
		return explainFile(at, r.explain(at.Container, r.cfg.Containers.Files(ctx, workload.ID(at.Container.ID), do)))
	}
	v := at.Volume
	return explainFile(at, r.cfg.Volumes.Files(v.ID, create, do))
}

// place names what at is, for sentences.
func place(at api.FilePlace) string {
	if at.Container != nil {
		return "the container " + at.Container.Name
	}
	return "the volume " + at.Volume.Name
}

// fileSentences are in the order in which they are looked for; %s is the place.
var fileSentences = []struct {
	err    error
	kind   model.Kind
	code   string
	detail string
}{
	{filetree.ErrNotFound, model.KindNotFound, "path_not_found", "there is no such file or folder in %s"},
	{filetree.ErrNotFolder, model.KindInvalid, "path_not_folder", "this path goes through something in %s that is no folder; correct the path"},
	{filetree.ErrIsFolder, model.KindInvalid, "path_is_folder", "this is a folder in %s and not a file; name a file"},
	{filetree.ErrNotRegular, model.KindInvalid, "path_not_file", "this is a device, a FIFO or a socket in %s; only files can be read and written here"},
	{filetree.ErrExists, model.KindConflict, "path_exists", "there is a file or folder of this name in %s already; choose another name"},
	{filetree.ErrNotEmpty, model.KindConflict, "folder_not_empty", "the folder in %s is not empty; say recursive to remove everything in it too"},
	{filetree.ErrRoot, model.KindInvalid, "path_is_root", "this is the root of %s, which cannot be removed; name something in it"},
	{filetree.ErrMount, model.KindConflict, "path_mounted", "a volume or a file of the platform is mounted at this path of %s or below it; it cannot be removed or replaced here"},
	{filetree.ErrKernel, model.KindConflict, "path_of_kernel", "the kernel makes this part of %s up; look at it in a terminal"},
	{filetree.ErrReadOnly, model.KindConflict, "read_only", "this part of %s is read-only; choose another folder"},
	{filetree.ErrLoop, model.KindInvalid, "path_loops", "the links on this path of %s never end; name what they should lead to"},
	{filetree.ErrDeep, model.KindInvalid, "path_too_deep", "the folder in %s is nested too deeply to be removed from here, and nothing was removed; use a terminal"},
	{filetree.ErrName, model.KindInvalid, "path_invalid", "a name on this path of %s is longer than 255 bytes; shorten it"},
}

// explainFile makes a sentence of what was wrong with a path.
func explainFile(at api.FilePlace, err error) error {
	if _, told := errors.AsType[*model.Error](err); err == nil || told {
		return err
	}
	for _, s := range fileSentences {
		if errors.Is(err, s.err) {
			return model.Errorf(s.kind, s.code, s.detail, place(at)).At("path")
		}
	}
	switch {
	case isNotExist(err):
		return model.Errorf(model.KindNotFound, "path_not_found", "there is no such file or folder in %s", place(at)).At("path")
	case filetree.IsSpace(err):
		return &model.Error{Kind: model.KindExhausted, Code: "disk_full", Detail: "there is no room left for this in " + place(at) + "; make room and try again, nothing was changed", Err: err}
	case filetree.IsForbidden(err):
		return &model.Error{Kind: model.KindConflict, Code: "file_protected", Detail: "the file system of " + place(at) + " refuses this; the file may be marked as immutable", Err: err}
	}
	return err
}

// shown is a name as people see it; JSON cannot carry other bytes.
func shown(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

func fileEntry(e filetree.Entry) api.FileEntry {
	out := api.FileEntry{
		Name: shown(e.Name), Type: api.FileTypeOther, SizeBytes: e.Size, Mode: int(e.Mode), UID: int(e.UID), GID: int(e.GID),
		ModifiedAt: e.ModTime.UTC(), LinkTarget: shown(e.LinkTarget), Mount: e.Mount,
	}
	switch e.Kind {
	case filetree.File:
		out.Type = api.FileTypeFile
	case filetree.Folder:
		out.Type = api.FileTypeFolder
	case filetree.Link:
		out.Type = api.FileTypeLink
	}
	if !utf8.ValidString(e.Name) {
		out.RawName = base64.StdEncoding.EncodeToString([]byte(e.Name))
	}
	return out
}

// ListFiles describes what is in a folder.
func (r *Local) ListFiles(ctx context.Context, at api.FilePlace, name string) (api.FileList, error) {
	out := api.FileList{Path: shown(path.Clean("/" + name)), Items: []api.FileEntry{}}
	err := r.in(ctx, at, false, func(t filetree.Tree) error {
		entries, truncated, err := t.List(ctx, name)
		out.Truncated = truncated
		for _, e := range entries {
			out.Items = append(out.Items, fileEntry(e))
		}
		return err
	})
	if at.Volume != nil && out.Path == "/" && model.KindOf(err) == model.KindNotFound {
		return out, nil // no container has used the volume yet
	}
	return out, err
}

// ReadFile gives an open file to send. What send fails with is returned as it is.
func (r *Local) ReadFile(ctx context.Context, at api.FilePlace, name string, send func(api.FileEntry, io.ReadSeeker) error) error {
	var sent error
	err := r.in(ctx, at, false, func(t filetree.Tree) error {
		f, e, err := t.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		sent = send(fileEntry(e), f)
		return nil
	})
	return errors.Join(err, sent)
}

// WriteFile makes a file hold what body gives.
func (r *Local) WriteFile(ctx context.Context, at api.FilePlace, name string, body io.Reader) (api.FileEntry, error) {
	var out api.FileEntry
	from := &noting{from: body}
	err := r.in(ctx, at, true, func(t filetree.Tree) error {
		e, err := t.Write(ctx, name, from)
		out = fileEntry(e)
		return err
	})
	if err != nil && from.err != nil {
		return out, bodyCut(err)
	}
	return out, err
}

func bodyCut(err error) error {
	return &model.Error{Kind: model.KindInvalid, Code: "body_cut", Detail: "the file broke off before its end; nothing was changed, send it again", Err: err}
}

// noting remembers that the sender failed, which is not the disk's fault.
type noting struct {
	from io.Reader
	err  error
}

func (n *noting) Read(p []byte) (int, error) {
	c, err := n.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return c, err
}

// RemoveFile removes a file, link or folder.
func (r *Local) RemoveFile(ctx context.Context, at api.FilePlace, name string, recursive bool) error {
	return r.in(ctx, at, false, func(t filetree.Tree) error { return t.Remove(ctx, name, recursive) })
}

// MakeFolder makes a folder.
func (r *Local) MakeFolder(ctx context.Context, at api.FilePlace, name string) (api.FileEntry, error) {
	var out api.FileEntry
	err := r.in(ctx, at, true, func(t filetree.Tree) error {
		e, err := t.Mkdir(name)
		out = fileEntry(e)
		return err
	})
	return out, err
}
