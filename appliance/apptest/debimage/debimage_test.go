package debimage_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// archive makes an image or skips where there are no Debian packages.
func archive(t *testing.T, name string, format debimage.Format) string {
	t.Helper()
	path, err := debimage.ArchiveAs(t.Context(), name, format)
	if errors.Is(err, debimage.ErrNoPackages) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnknownNameIsRefused(t *testing.T) {
	_, err := debimage.Archive(t.Context(), "ngnix")
	if err == nil || !strings.Contains(err.Error(), "busybox, busybox-user, nginx, postgres, redis") {
		t.Fatalf("err = %v: want the names that exist", err)
	}
}

// TestDockerArchive checks every promise of a docker-archive: each layer hashes to
// the configuration's diff id, layers are shared between images, names are given.
func TestDockerArchive(t *testing.T) {
	bases := map[string]bool{}
	for _, name := range []string{"nginx", "redis", "postgres"} {
		files := readTar(t, archive(t, name, debimage.Format{}))
		var manifest []struct {
			Config   string
			RepoTags []string
			Layers   []string
		}
		decode(t, files["manifest.json"], &manifest)
		if len(manifest) != 1 || len(manifest[0].RepoTags) != 2 || !strings.HasPrefix(manifest[0].RepoTags[0], name+":") {
			t.Fatalf("%s: manifest = %+v", name, manifest)
		}
		if len(manifest[0].Layers) != 3 {
			t.Errorf("%s has %d layers, want 3", name, len(manifest[0].Layers))
		}
		var config struct {
			Config struct{ Cmd []string }
			Rootfs struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		decode(t, files[manifest[0].Config], &config)
		for i, l := range manifest[0].Layers {
			if got := "sha256:" + digest(files[l]); got != config.Rootfs.DiffIDs[i] {
				t.Errorf("%s layer %d hashes to %s, the configuration says %s", name, i, got, config.Rootfs.DiffIDs[i])
			}
		}
		bases[config.Rootfs.DiffIDs[0]] = true
	}
	if len(bases) != 1 {
		t.Errorf("the images have %d different base layers, want one shared", len(bases))
	}
}

// TestFormats reads busybox back from every layout and compression.
func TestFormats(t *testing.T) {
	for _, format := range debimage.Formats() {
		files := readTar(t, archive(t, "busybox-user", format))
		var layers [][]byte
		if format.Layout == debimage.OCI {
			var index struct {
				Manifests []struct{ Digest string }
			}
			decode(t, files["index.json"], &index)
			var manifest struct {
				Layers []struct {
					Digest, MediaType string
					Size              int
				}
			}
			decode(t, files["blobs/sha256/"+strings.TrimPrefix(index.Manifests[0].Digest, "sha256:")], &manifest)
			for _, l := range manifest.Layers {
				data := files["blobs/sha256/"+strings.TrimPrefix(l.Digest, "sha256:")]
				if len(data) != l.Size || "sha256:"+digest(data) != l.Digest {
					t.Errorf("%s: layer %s does not match its descriptor", format, l.Digest)
				}
				if want := string(format.Layers); !strings.HasSuffix(l.MediaType, want) {
					t.Errorf("%s: media type %s", format, l.MediaType)
				}
				layers = append(layers, data)
			}
		} else {
			var manifest []struct{ Layers []string }
			decode(t, files["manifest.json"], &manifest)
			for _, l := range manifest[0].Layers {
				layers = append(layers, files[l])
			}
		}
		found := false
		for _, l := range layers {
			inside := untar(t, unpack(t, l))
			if string(inside["etc/motd"]) == "made by debimage\n" {
				found = true
			}
		}
		if !found {
			t.Errorf("%s: etc/motd was not found in %d layers", format, len(layers))
		}
	}
}

// TestDeterministic builds one image in two empty caches and compares the bytes.
func TestDeterministic(t *testing.T) {
	var sums []string
	for range 2 {
		cache := t.TempDir()
		linkPackages(t, cache)
		t.Setenv("SKERRY_TEST_CACHE", cache)
		for _, format := range []debimage.Format{{}, {Layout: debimage.OCI, Layers: debimage.Zstd, Outer: debimage.Gzip}} {
			data, err := os.ReadFile(archive(t, "redis", format))
			if err != nil {
				t.Fatal(err)
			}
			sums = append(sums, digest(data))
		}
	}
	if sums[0] != sums[2] || sums[1] != sums[3] {
		t.Errorf("two builds of the same packages differ: %v", sums)
	}
}

// TestFromFiles packs a program of the host and reads it back with its mode.
func TestFromFiles(t *testing.T) {
	archive(t, "busybox", debimage.Format{}) // skips where dpkg is missing
	dir := t.TempDir()
	program := filepath.Join(dir, "hello")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "hello.tar")
	config := debimage.Config{Entrypoint: []string{"/opt/hello"}}
	if err := debimage.FromFiles(path, "hello:1", map[string]string{"opt/hello": program}, config); err != nil {
		t.Fatal(err)
	}
	files := readTar(t, path)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	decode(t, files["manifest.json"], &manifest)
	var image struct {
		Architecture string
		Config       struct{ Entrypoint []string }
	}
	decode(t, files[manifest[0].Config], &image)
	if manifest[0].RepoTags[0] != "hello:1" || image.Config.Entrypoint[0] != "/opt/hello" || image.Architecture == "" {
		t.Errorf("manifest %+v, configuration %+v", manifest, image)
	}
	in := tar.NewReader(bytes.NewReader(files[manifest[0].Layers[0]]))
	for {
		h, err := in.Next()
		if err != nil {
			t.Fatalf("opt/hello is not in the layer: %v", err)
		}
		if h.Name == "opt/hello" {
			if h.Mode != 0o755 {
				t.Errorf("opt/hello has mode %o, want 755", h.Mode)
			}
			return
		}
	}
}

// linkPackages lends the packages of the usual cache to another, so that a test
// downloads nothing twice.
func linkPackages(t *testing.T, cache string) {
	t.Helper()
	source := archive(t, "redis", debimage.Format{})
	packages := filepath.Join(filepath.Dir(source), "..", "..", "packages")
	debs, err := filepath.Glob(filepath.Join(packages, "*.deb"))
	if err != nil || len(debs) == 0 {
		return // the second cache then downloads by itself
	}
	if err := os.MkdirAll(filepath.Join(cache, "packages"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, deb := range debs {
		abs, err := filepath.Abs(deb)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(abs, filepath.Join(cache, "packages", filepath.Base(deb))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestProgramsRun starts every program from its unpacked image: a missing library
// or file would show here and not first in a container.
func TestProgramsRun(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	for name, command := range map[string][]string{
		"nginx":        {"nginx", "-t"},
		"redis":        {"redis-server", "--version"},
		"postgres":     {"/usr/local/pgsql/bin/postgres", "--version"},
		"busybox":      {"sh", "-c", "echo ok"},
		"busybox-user": {"id", "app"},
	} {
		archive(t, name, debimage.Format{})
		root, err := debimage.Rootfs(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		var extra [][]string
		if name == "postgres" {
			extra = [][]string{{"/usr/local/pgsql/bin/psql", "--version"}, {"/usr/local/pgsql/bin/initdb", "--version"}}
		}
		if name == "redis" {
			extra = [][]string{{"redis-cli", "--version"}}
		}
		if name == "nginx" {
			command = []string{"sh", "-c", "nginx -V && test ! -e /etc/nginx/sites-available/default && cat /etc/nginx/conf.d/default.conf"}
		}
		for _, argv := range append(extra, command) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			cmd := exec.CommandContext(ctx, "chroot", append([]string{root}, argv...)...)
			cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
			out, err := cmd.CombinedOutput()
			cancel()
			if err != nil {
				t.Errorf("%s: %v: %v: %s", name, argv, err, out)
			}
		}
	}
}

func readTar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return untar(t, unpack(t, data))
}

func untar(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	in := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
}

// unpack recognises a compression by its first bytes, as an importer does.
func unpack(t *testing.T, data []byte) []byte {
	t.Helper()
	var in io.Reader = bytes.NewReader(data)
	var err error
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		in, err = gzip.NewReader(in)
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var z *zstd.Decoder
		z, err = zstd.NewReader(in)
		if err == nil {
			defer z.Close()
			in = z
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
