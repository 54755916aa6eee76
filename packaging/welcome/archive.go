package welcome

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

const created = "1970-01-01T00:00:00Z" // fixed, so that equal binaries give equal images

// Archive packs a static binary for arch (a GOARCH) as the image Name and
// writes it to w. Equal input gives equal bytes.
func Archive(w io.Writer, binary []byte, arch, version string) error {
	layer, err := layerTar(binary)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	gz, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress the layer: %w", err)
	}
	if _, err := gz.Write(layer); err != nil {
		return fmt.Errorf("compress the layer: %w", err)
	}
	if err := gz.Close(); err != nil {
		return fmt.Errorf("compress the layer: %w", err)
	}
	labels := map[string]string{
		"org.opencontainers.image.title":       "Skerry welcome",
		"org.opencontainers.image.description": "A small page that says that its container runs, and where",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     version,
	}
	config, err := json.Marshal(map[string]any{
		"created": created, "architecture": arch, "os": "linux",
		"config": map[string]any{
			"Entrypoint": []string{"/welcome"}, "WorkingDir": "/", "StopSignal": "SIGTERM",
			"Env": []string{"PATH=/"}, "ExposedPorts": map[string]any{"80/tcp": map[string]any{}}, "Labels": labels,
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
		"history": []map[string]any{{"created": created, "created_by": "skerry: the welcome program", "comment": "library/welcome"}},
	})
	if err != nil {
		return fmt.Errorf("write the image configuration: %w", err)
	}
	layerDesc := descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: digest(packed.Bytes()), Size: packed.Len()}
	configDesc := descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: digest(config), Size: len(config)}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": configDesc, "layers": []descriptor{layerDesc}, "annotations": labels,
	})
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
		"manifests": []descriptor{{
			MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest(manifest), Size: len(manifest),
			Annotations: map[string]string{"io.containerd.image.name": Name, "org.opencontainers.image.ref.name": "latest"},
			Platform:    &platform{arch, "linux"},
		}},
	})
	if err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	docker, err := json.Marshal([]map[string]any{{
		"Config": blob(configDesc.Digest), "RepoTags": []string{Name}, "Layers": []string{blob(layerDesc.Digest)},
	}})
	if err != nil {
		return fmt.Errorf("write the manifest list: %w", err)
	}
	return writeTar(w, []file{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644},
		{"index.json", index, 0o644},
		{"manifest.json", docker, 0o644},
		{blob(digest(manifest)), manifest, 0o644},
		{blob(configDesc.Digest), config, 0o644},
		{blob(layerDesc.Digest), packed.Bytes(), 0o644},
	})
}

type file struct {
	name    string
	content []byte
	mode    int64
}

func layerTar(binary []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := writeTar(&b, []file{{"welcome", binary, 0o755}}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// writeTar writes plain files owned by root with a fixed time.
func writeTar(w io.Writer, files []file) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
		if _, err := t.Write(f.content); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func blob(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }
