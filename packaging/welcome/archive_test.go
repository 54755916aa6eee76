package welcome

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"testing"
)

func contents(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.IsZero() && h.ModTime.Unix() != 0 || h.Uid != 0 {
			t.Errorf("%s has a time or an owner", h.Name)
		}
		files[h.Name] = b
	}
}

func read[T any](t *testing.T, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestArchive(t *testing.T) {
	var one, two bytes.Buffer
	for _, w := range []*bytes.Buffer{&one, &two} {
		if err := Archive(w, []byte("program"), "amd64", "1.2.3"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatal("equal input gave different archives")
	}
	files := contents(t, &one)
	index := read[struct{ Manifests []descriptor }](t, files["index.json"])
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["io.containerd.image.name"] != Name {
		t.Fatalf("index: %s", files["index.json"])
	}
	check := func(d descriptor) []byte {
		b := files[blob(d.Digest)]
		if len(b) != d.Size || digest(b) != d.Digest {
			t.Errorf("%s: the content does not fit its descriptor", d.Digest)
		}
		return b
	}
	manifest := read[struct {
		Config descriptor
		Layers []descriptor
	}](t, check(index.Manifests[0]))
	config := read[struct {
		Architecture string
		Rootfs       struct {
			DiffIDs []string `json:"diff_ids"`
		}
		Config struct{ Entrypoint []string }
	}](t, check(manifest.Config))
	gz, err := gzip.NewReader(bytes.NewReader(check(manifest.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(gz)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Rootfs.DiffIDs) != 1 || config.Rootfs.DiffIDs[0] != digest(layer) || config.Architecture != "amd64" || config.Config.Entrypoint[0] != "/welcome" {
		t.Errorf("configuration: %+v", config)
	}
	if inside := contents(t, bytes.NewReader(layer)); string(inside["welcome"]) != "program" || len(inside) != 1 {
		t.Errorf("layer: %v", inside)
	}
}

func TestOpen(t *testing.T) {
	r, err := Open()
	if errors.Is(err, ErrNotBuilt) {
		t.Log("built without the image: only the sentence is tested")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if files := contents(t, r); len(files["index.json"]) == 0 {
		t.Error("the embedded archive has no index")
	}
}
