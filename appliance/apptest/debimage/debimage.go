// Package debimage makes real container images without a registry: it takes
// programs from the distribution's own packages and writes them as the archives
// that `docker save` and OCI tools write.
//
// It owns the image definitions (nginx, redis, postgres, busybox and a busybox
// that runs as an ordinary user), the package closure, and a cache keyed by the
// packages' versions. It never runs a maintainer script, never installs anything
// on the host and never talks to a registry: packages come through apt-get, and
// what a maintainer script would have made (users, folders) is part of the
// definition.
//
// Tests and the benchmark call it. All functions may be called concurrently, from
// several processes too: the cache is guarded by a file lock. The same set of
// package versions always gives the same bytes.
//
// Needs Linux with apt-get, apt-cache and dpkg-deb, that is Debian or Ubuntu.
package debimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoPackages says that this host has no Debian package tools, so a test that
// needs an image may be skipped with this reason.
var ErrNoPackages = errors.New("debimage needs apt-get, apt-cache and dpkg-deb (Debian or Ubuntu)")

// builderVersion is part of every cache key: raise it when the same packages
// begin to give other bytes.
const builderVersion = 1

// Compression is how a stream is packed.
type Compression string

// The compressions that an archive or a layer can have.
const (
	Plain Compression = ""
	Gzip  Compression = "gzip"
	Zstd  Compression = "zstd"
)

// Layout is the shape of an archive.
type Layout string

// The layouts that image tools write.
const (
	Docker Layout = "docker" // what `docker save` writes: manifest.json beside the layers
	OCI    Layout = "oci"    // an OCI image layout: index.json, oci-layout, blobs/
)

// Format says how an archive is written. The zero value is a plain docker-archive.
type Format struct {
	Layout Layout      // zero means Docker
	Layers Compression // how each layer is packed; a docker-archive usually has plain ones
	Outer  Compression // how the archive itself is packed
}

// Formats returns every format that an importer should know, for table tests.
func Formats() []Format {
	var all []Format
	for _, layout := range []Layout{Docker, OCI} {
		for _, layers := range []Compression{Plain, Gzip, Zstd} {
			for _, outer := range []Compression{Plain, Gzip, Zstd} {
				all = append(all, Format{Layout: layout, Layers: layers, Outer: outer})
			}
		}
	}
	return all
}

// String returns the format's file name ending, such as "oci.layers-gzip.tar.zst".
func (f Format) String() string {
	name := string(f.Layout)
	if f.Layout == "" {
		name = string(Docker)
	}
	if f.Layers != Plain {
		name += ".layers-" + string(f.Layers)
	}
	name += ".tar"
	switch f.Outer {
	case Gzip:
		name += ".gz"
	case Zstd:
		name += ".zst"
	}
	return name
}

// Names returns the images that can be made, sorted.
func Names() []string {
	var names []string
	for name := range definitions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Archive makes the named image as a plain docker-archive and returns its path in
// the cache. The file is shared: read it, never change it. The image inside is
// called NAME:VERSION and NAME:latest.
// Errors: ErrNoPackages; an unknown name is refused with the names that exist.
func Archive(ctx context.Context, name string) (string, error) {
	return ArchiveAs(ctx, name, Format{})
}

// ArchiveAs is Archive in another format.
func ArchiveAs(ctx context.Context, name string, format Format) (string, error) {
	built, err := build(ctx, name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(built.dir, format.String())
	err = locked(built.dir, func() error {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		return writeFile(path, func(w io.Writer) error { return writeArchive(w, built.image, format) })
	})
	if err != nil {
		return "", fmt.Errorf("write %s image as %s: %w", name, format, err)
	}
	return path, nil
}

// Rootfs unpacks the named image into a folder of the cache and returns it. Its
// programs run by `chroot FOLDER PROGRAM`, which gives tests the real psql and
// redis-cli without installing them on the host. Root only, because files keep
// their owners. The folder is shared: read it, never change it.
func Rootfs(ctx context.Context, name string) (string, error) {
	built, err := build(ctx, name)
	if err != nil {
		return "", err
	}
	root := filepath.Join(built.dir, "rootfs")
	err = locked(built.dir, func() error {
		if _, err := os.Stat(root); err == nil {
			return nil
		}
		part := root + ".part"
		if err := os.RemoveAll(part); err != nil {
			return err
		}
		for _, l := range built.image.layers {
			if err := unpackLayer(part, l.path); err != nil {
				return err
			}
		}
		return os.Rename(part, root)
	})
	if err != nil {
		return "", fmt.Errorf("unpack %s image: %w", name, err)
	}
	return root, nil
}

// Unpack fetches the packages (with what they depend on, when closure is true) and
// unpacks them into one folder of the cache, which it returns. The benchmark gets
// its peers (docker.io, etcd-server) this way. The folder is shared.
func Unpack(ctx context.Context, closure bool, packages ...string) (string, error) {
	set, err := resolve(ctx, packages, closure)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, "unpacked", packages[0]+"-"+key("unpack", set))
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return "", err
	}
	err = locked(filepath.Dir(root), func() error {
		if _, err := os.Stat(root); err == nil {
			return nil
		}
		debs, err := fetch(ctx, cache, set)
		if err != nil {
			return err
		}
		tree := newTree()
		for _, p := range set {
			if err := tree.addPackage(ctx, debs[p.name], keepAll); err != nil {
				return err
			}
		}
		part := root + ".part"
		if err := os.RemoveAll(part); err != nil {
			return err
		}
		layer := filepath.Join(filepath.Dir(root), filepath.Base(root)+".tar")
		defer os.Remove(layer)
		if err := writeFile(layer, tree.write); err != nil {
			return err
		}
		if err := unpackLayer(part, layer); err != nil {
			return err
		}
		return os.Rename(part, root)
	})
	if err != nil {
		return "", fmt.Errorf("unpack packages %s: %w", strings.Join(packages, ", "), err)
	}
	return root, nil
}

// FromFiles writes a docker-archive of one layer to path: files maps a path in the
// image to a file of the host, each executable. It serves images of static
// programs, which need no package.
func FromFiles(path, ref string, files map[string]string, config Config) error {
	tree := newTree()
	for inside, host := range files {
		data, err := os.ReadFile(host)
		if err != nil {
			return fmt.Errorf("read %s for image %s: %w", host, ref, err)
		}
		tree.addFile(inside, data, 0o755)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := writeLayer(filepath.Join(dir, "layer.tar"), tree)
	if err != nil {
		return err
	}
	img := image{refs: []string{ref}, config: config, layers: []layer{l}}
	if img.arch, err = architecture(context.Background()); err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error { return writeArchive(w, img, Format{}) })
}

// built is an image whose layers lie in the cache.
type built struct {
	dir   string
	image image
}

// build makes the layers of the named image, or finds them in the cache.
func build(ctx context.Context, name string) (built, error) {
	def, ok := definitions[name]
	if !ok {
		return built{}, fmt.Errorf("no image definition is called %q: there are %s", name, strings.Join(Names(), ", "))
	}
	base, err := resolve(ctx, def.base, true)
	if err != nil {
		return built{}, err
	}
	set, err := resolve(ctx, append(slices.Clone(def.base), def.packages...), true)
	if err != nil {
		return built{}, err
	}
	cache, err := cacheDir()
	if err != nil {
		return built{}, err
	}
	definition, err := json.Marshal(def)
	if err != nil {
		return built{}, err
	}
	dir := filepath.Join(cache, "images", name+"-"+key(string(definition), set))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return built{}, err
	}
	img := image{config: def.Config, refs: []string{name + ":" + def.version(set), name + ":latest"}}
	if img.arch, err = architecture(ctx); err != nil {
		return built{}, err
	}
	err = locked(dir, func() error {
		img.layers, err = buildLayers(ctx, cache, dir, def, base, set)
		return err
	})
	if err != nil {
		return built{}, fmt.Errorf("make %s image: %w", name, err)
	}
	return built{dir: dir, image: img}, nil
}

// buildLayers returns the image's layers, lowest first: what every image shares,
// the program's packages, and what the definition adds.
func buildLayers(ctx context.Context, cache, dir string, def definition, base, set []pkg) ([]layer, error) {
	record := filepath.Join(dir, "layers.json")
	var layers []layer
	if data, err := os.ReadFile(record); err == nil {
		var saved []savedLayer
		if err := json.Unmarshal(data, &saved); err != nil {
			return nil, fmt.Errorf("read %s (remove the folder to make the image anew): %w", record, err)
		}
		for _, s := range saved {
			layers = append(layers, layer{path: filepath.Join(dir, s.File), diffID: s.DiffID})
		}
		return layers, nil
	}
	debs, err := fetch(ctx, cache, set)
	if err != nil {
		return nil, err
	}
	lower := newTree()
	trees := []*tree{lower}
	app := newTree()
	for _, p := range set {
		into := app
		if slices.Contains(base, p) {
			into = lower
		}
		if err := into.addPackage(ctx, debs[p.name], keepSmall); err != nil {
			return nil, err
		}
	}
	if err := lower.addBase(ctx, dir); err != nil {
		return nil, err
	}
	app.dropKnown(lower)
	if len(app.entries) > 0 {
		trees = append(trees, app)
	}
	top := newTree()
	def.top(top, app)
	top.dropKnown(lower, app)
	if len(top.entries) > 0 {
		trees = append(trees, top)
	}
	var saved []savedLayer
	for i, t := range trees {
		file := fmt.Sprintf("layer-%d.tar", i)
		l, err := writeLayer(filepath.Join(dir, file), t)
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
		saved = append(saved, savedLayer{File: file, DiffID: l.diffID})
	}
	data, err := json.Marshal(saved)
	if err != nil {
		return nil, err
	}
	return layers, writeFile(record, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// savedLayer is a line of the cache's record of a finished image.
type savedLayer struct {
	File   string `json:"file"`
	DiffID string `json:"diffID"`
}

// key names a cache entry by what its bytes depend on.
func key(definition string, set []pkg) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s\n", builderVersion, definition)
	for _, p := range set {
		fmt.Fprintf(h, "%s=%s\n", p.name, p.version)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// cacheDir is SKERRY_TEST_CACHE, or .cache/images of the repository that the
// process works in, or a folder in the user's cache outside of one.
func cacheDir() (string, error) {
	if dir := os.Getenv("SKERRY_TEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return filepath.Join(dir, ".cache", "images"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for test images (set SKERRY_TEST_CACHE): %w", err)
	}
	return filepath.Join(user, "skerry-test-images"), nil
}

// locked runs do while this process alone may change dir.
func locked(dir string, do func() error) error {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // closing gives the lock back
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	return do()
}

// writeFile writes path whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing left to remove
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
