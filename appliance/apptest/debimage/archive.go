package debimage

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Config is an image's configuration by the names of the OCI image specification.
type Config struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
}

// layer is an uncompressed layer on disk.
type layer struct {
	path   string
	diffID string // "sha256:..." of the file
}

// image is what an archive is made of.
type image struct {
	refs   []string // "name:tag"
	arch   string
	config Config
	layers []layer // lowest first
}

// blob is a finished part of an archive.
type blob struct {
	name      string // hex digest
	size      int64
	mediaType string
	open      func() (io.ReadCloser, error)
}

func (b blob) digest() string { return "sha256:" + b.name }

// descriptor is an OCI content descriptor.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func (b blob) descriptor() descriptor {
	return descriptor{MediaType: b.mediaType, Digest: b.digest(), Size: b.size}
}

func bytesBlob(data []byte, mediaType string) blob {
	sum := sha256.Sum256(data)
	return blob{
		name: hex.EncodeToString(sum[:]), size: int64(len(data)), mediaType: mediaType,
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}

// writeLayer writes the tree to path and returns the layer.
func writeLayer(path string, t *tree) (layer, error) {
	sum := sha256.New()
	err := writeFile(path, func(w io.Writer) error { return t.write(io.MultiWriter(w, sum)) })
	return layer{path: path, diffID: "sha256:" + hex.EncodeToString(sum.Sum(nil))}, err
}

// configBlob renders the image's configuration document.
func configBlob(img image) (blob, error) {
	diffIDs := make([]string, len(img.layers))
	history := make([]map[string]string, len(img.layers))
	created := epoch.Format("2006-01-02T15:04:05Z")
	for i, l := range img.layers {
		diffIDs[i] = l.diffID
		history[i] = map[string]string{"created": created, "created_by": "debimage"}
	}
	data, err := json.Marshal(map[string]any{
		"architecture": img.arch, "os": "linux", "created": created, "config": img.config, "history": history,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	return bytesBlob(data, "application/vnd.oci.image.config.v1+json"), err
}

// packLayers returns the layers as blobs. Compressed ones are written beside the
// plain layer for the moment; done removes them.
func packLayers(img image, how Compression) (blobs []blob, done func() error, err error) {
	var temporary []string
	done = func() error {
		var errs []error
		for _, path := range temporary {
			errs = append(errs, os.Remove(path))
		}
		return errors.Join(errs...)
	}
	for _, l := range img.layers {
		path := l.path
		if how != Plain {
			path = l.path + "." + string(how)
			temporary = append(temporary, path)
			if err := writeFile(path, func(w io.Writer) error { return compressFile(w, l.path, how) }); err != nil {
				return nil, done, err
			}
		}
		b, err := fileBlob(path)
		if err != nil {
			return nil, done, err
		}
		b.mediaType = "application/vnd.oci.image.layer.v1.tar"
		if how != Plain {
			b.mediaType += "+" + string(how)
		}
		blobs = append(blobs, b)
	}
	return blobs, done, nil
}

func fileBlob(path string) (blob, error) {
	f, err := os.Open(path)
	if err != nil {
		return blob{}, err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	return blob{
		name: hex.EncodeToString(sum.Sum(nil)), size: size,
		open: func() (io.ReadCloser, error) { return os.Open(path) },
	}, err
}

func compressFile(w io.Writer, path string, how Compression) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	packed, err := compressor(w, how)
	if err != nil {
		return err
	}
	_, err = io.Copy(packed, f)
	return errors.Join(err, packed.Close())
}

// compressor packs what is written to it. Its output depends on its input alone:
// one thread, no time, no name.
func compressor(w io.Writer, how Compression) (io.WriteCloser, error) {
	switch how {
	case Plain:
		return passThrough{w}, nil
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("compression %q is not known: use %q, %q or none", how, Gzip, Zstd)
}

type passThrough struct{ io.Writer }

func (passThrough) Close() error { return nil }

// writeArchive writes the image in the given format.
func writeArchive(w io.Writer, img image, format Format) (err error) {
	layers, done, err := packLayers(img, format.Layers)
	defer func() { err = errors.Join(err, done()) }()
	if err != nil {
		return err
	}
	config, err := configBlob(img)
	if err != nil {
		return err
	}
	packed, err := compressor(w, format.Outer)
	if err != nil {
		return err
	}
	out := tar.NewWriter(packed)
	switch format.Layout {
	case Docker, "":
		err = writeDocker(out, img, config, layers)
	case OCI:
		err = writeOCI(out, img, config, layers)
	default:
		err = fmt.Errorf("layout %q is not known: use %q or %q", format.Layout, Docker, OCI)
	}
	return errors.Join(err, out.Close(), packed.Close())
}

// writeDocker writes the files of `docker save` before Docker 25: one folder for
// each layer, the configuration, manifest.json and the old `repositories`.
func writeDocker(out *tar.Writer, img image, config blob, layers []blob) error {
	var paths []string
	written := map[string]bool{}
	for _, l := range layers {
		path := l.name + "/layer.tar"
		paths = append(paths, path)
		if written[path] {
			continue
		}
		written[path] = true
		if err := out.WriteHeader(&tar.Header{Name: l.name + "/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: epoch}); err != nil {
			return err
		}
		if err := writeBlob(out, path, l); err != nil {
			return err
		}
	}
	if err := writeBlob(out, config.name+".json", config); err != nil {
		return err
	}
	if err := writeJSON(out, "manifest.json", []map[string]any{{"Config": config.name + ".json", "RepoTags": img.refs, "Layers": paths}}); err != nil {
		return err
	}
	return nil
}

// writeOCI writes an OCI image layout with one manifest.
func writeOCI(out *tar.Writer, img image, config blob, layers []blob) error {
	if err := writeJSON(out, "oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}); err != nil {
		return err
	}
	var descriptors []descriptor
	for _, l := range layers {
		descriptors = append(descriptors, l.descriptor())
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	data, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config.descriptor(), "layers": descriptors,
	})
	if err != nil {
		return err
	}
	manifest := bytesBlob(data, manifestType)
	written := map[string]bool{}
	for _, b := range append(layers, config, manifest) {
		if written[b.name] {
			continue
		}
		written[b.name] = true
		if err := writeBlob(out, "blobs/sha256/"+b.name, b); err != nil {
			return err
		}
	}
	var manifests []descriptor
	for _, ref := range img.refs {
		d := manifest.descriptor()
		d.Platform = map[string]string{"architecture": img.arch, "os": "linux"}
		d.Annotations = map[string]string{"org.opencontainers.image.ref.name": ref}
		manifests = append(manifests, d)
	}
	return writeJSON(out, "index.json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
	})
}

func writeBlob(out *tar.Writer, name string, b blob) error {
	in, err := b.open()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := out.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: b.size, ModTime: epoch}); err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return err
}

func writeJSON(out *tar.Writer, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeBlob(out, name, bytesBlob(data, ""))
}
