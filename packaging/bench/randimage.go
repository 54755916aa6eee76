package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// randomImage writes an OCI layout with layers of so many bytes that nobody has
// seen and nothing can compress, packed as clients pack them, and gives the
// bytes of all blobs and the digest of the largest.
func randomImage(layout string, sizes []int) (total int64, largest string, err error) {
	if err := os.MkdirAll(filepath.Join(layout, "blobs", "sha256"), 0o755); err != nil {
		return 0, "", err
	}
	var layers []descriptor
	var diffs []string
	for _, n := range sizes {
		d, diff, err := randomLayer(layout, n)
		if err != nil {
			return 0, "", err
		}
		layers, diffs = append(layers, d), append(diffs, diff)
		total += d.Size
	}
	put := func(mediaType string, v any) (descriptor, error) {
		b, err := json.Marshal(v)
		if err != nil {
			return descriptor{}, err
		}
		sum := sha256.Sum256(b)
		name := hex.EncodeToString(sum[:])
		total += int64(len(b))
		return descriptor{MediaType: mediaType, Digest: "sha256:" + name, Size: int64(len(b))}, os.WriteFile(filepath.Join(layout, "blobs", "sha256", name), b, 0o644)
	}
	config, err := put("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Now().UTC(), "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		return 0, "", err
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := put(manifestType, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": layers})
	if err != nil {
		return 0, "", err
	}
	return total, layers[0].Digest, writeIndex(layout, manifest)
}

// randomLayer writes one layer: a tar with one file, in gzip that stores.
func randomLayer(layout string, n int) (_ descriptor, diff string, err error) {
	f, err := os.CreateTemp(layout, "layer-")
	if err != nil {
		return descriptor{}, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	packed, plain := sha256.New(), sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(f, packed), 1<<20)
	zip, err := gzip.NewWriterLevel(buffered, gzip.NoCompression)
	if err != nil {
		return descriptor{}, "", err
	}
	w := tar.NewWriter(io.MultiWriter(zip, plain))
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails: the runtime ends the process instead
	if err := w.WriteHeader(&tar.Header{Name: "data-" + hex.EncodeToString(seed[:4]), Mode: 0o644, Size: int64(n)}); err != nil {
		return descriptor{}, "", err
	}
	if _, err := io.CopyN(w, mathrand.NewChaCha8(seed), int64(n)); err != nil {
		return descriptor{}, "", err
	}
	if err := errors.Join(w.Close(), zip.Close(), buffered.Flush()); err != nil {
		return descriptor{}, "", err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return descriptor{}, "", err
	}
	name := hex.EncodeToString(packed.Sum(nil))
	return descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: "sha256:" + name, Size: size},
		"sha256:" + hex.EncodeToString(plain.Sum(nil)), os.Rename(f.Name(), filepath.Join(layout, "blobs", "sha256", name))
}
