package api

import (
	"context"
	"io"

	"github.com/skerryhq/skerry/raft/model"
)

// FilePlace is whose files are meant: exactly one of both.
type FilePlace struct {
	Container *model.Container
	Volume    *model.Volume
}

// FileRuntime sees and changes single files of containers and volumes, as
// processes in the container see them, whether it runs or not. Paths are
// absolute within the place, may be any bytes, and never lead out of it. What a
// person can mend is a *model.Error.
type FileRuntime interface {
	// ListFiles describes what is in a folder, folders first, then by name.
	ListFiles(ctx context.Context, at FilePlace, path string) (FileList, error)
	// ReadFile gives an open regular file to send; it is closed afterwards.
	ReadFile(ctx context.Context, at FilePlace, path string, send func(FileEntry, io.ReadSeeker) error) error
	// WriteFile makes a file hold what body gives, wholly or not at all.
	WriteFile(ctx context.Context, at FilePlace, path string, body io.Reader) (FileEntry, error)
	// RemoveFile removes a file, link or folder; a folder that holds something
	// only if recursive.
	RemoveFile(ctx context.Context, at FilePlace, path string, recursive bool) error
	// MakeFolder makes a folder in one that is there.
	MakeFolder(ctx context.Context, at FilePlace, path string) (FileEntry, error)
}
