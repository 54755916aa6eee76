// Package welcome packs cmd/welcome as the image library/welcome and holds the
// packed image for the daemon, which imports it when a cluster is born.
//
// packaging/welcome/build makes dist/welcome.tar at build time; a build without
// it embeds nothing, and Open says so. The archive is an OCI layout with
// Docker's manifest.json beside it, and equal binaries give equal bytes.
package welcome

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Name is what the image is called.
const Name = "docker.io/library/welcome:latest"

//go:embed all:dist
var dist embed.FS

// ErrNotBuilt says that this program was built without the image.
var ErrNotBuilt = errors.New("this skerry was built without the welcome image: run make build")

// Open gives the image archive, or ErrNotBuilt.
func Open() (io.Reader, error) {
	b, err := dist.ReadFile("dist/welcome.tar")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	if err != nil {
		return nil, fmt.Errorf("read the embedded welcome image: %w", err)
	}
	return bytes.NewReader(b), nil
}
