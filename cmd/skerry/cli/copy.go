package cli

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) copyCommands() []*cobra.Command {
	c := a.Command("cp SOURCE TARGET", "cp", func(cmd *cobra.Command, args []string) error {
		from, fromPath, fromInside := splitCopy(args[0])
		to, toPath, toInside := splitCopy(args[1])
		switch {
		case fromInside && toInside:
			return usagef("%s", a.say("cp.both"))
		case !fromInside && !toInside:
			return usagef("%s", a.say("cp.none"))
		case fromInside:
			return a.copyOut(cmd.Context(), from, fromPath, toPath)
		}
		return a.copyIn(cmd.Context(), fromPath, to, toPath)
	})
	c.Args = a.exactly(2)
	c.ValidArgsFunction = a.complete(func(ctx context.Context) []string {
		var out []string
		for _, n := range a.containerNames(ctx) {
			out = append(out, n+":")
		}
		return out
	})
	return []*cobra.Command{c}
}

// splitCopy reads NAME:/path; a path that begins with / or . is of this host.
func splitCopy(s string) (name, where string, inside bool) {
	if s == "-" || strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return "", s, false
	}
	name, where, inside = strings.Cut(s, ":")
	if !inside || strings.Contains(name, "/") {
		return "", s, false
	}
	if !strings.HasPrefix(where, "/") {
		where = "/" + where
	}
	return name, where, true
}

func (a *app) stat(ctx context.Context, ct model.Container, where string) (client.PathStat, error) {
	c, err := a.connect()
	if err != nil {
		return client.PathStat{}, err
	}
	resp, err := c.StatArchive(ctx, ct.ID, &client.StatArchiveParams{Tenant: ct.TenantID, Path: where})
	if err != nil {
		return client.PathStat{}, unreachable(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound: // a HEAD answer has no body
		return client.PathStat{}, fs.ErrNotExist
	case resp.StatusCode >= 400:
		return client.PathStat{}, fmt.Errorf("look at %s:%s: the server answered %s", ct.Name, where, resp.Status)
	}
	return pathStat(resp)
}

func pathStat(resp *http.Response) (client.PathStat, error) {
	var s client.PathStat
	if err := json.Unmarshal([]byte(resp.Header.Get("Skerry-Path-Stat")), &s); err != nil {
		return s, fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	return s, nil
}

// copyOut copies a file or folder of a container to this host; `-` writes the
// tar to standard output.
func (a *app) copyOut(ctx context.Context, word, where, target string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ct, err := a.container(ctx, word)
	if err != nil {
		return err
	}
	resp, err := streamed(c.GetArchive(ctx, ct.ID, &client.GetArchiveParams{Tenant: ct.TenantID, Path: where}))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if target == "-" {
		_, err := io.Copy(a.Stdout, resp.Body)
		return err
	}
	s, err := pathStat(resp)
	if err != nil {
		return err
	}
	into, rename := target, ""
	if info, err := os.Stat(target); err != nil || !info.IsDir() {
		if err == nil && s.Directory {
			return fmt.Errorf("%s is a file; a folder cannot take its place", target)
		}
		if strings.HasSuffix(target, "/") && !s.Directory {
			return fmt.Errorf("the folder %s does not exist; make it first", target)
		}
		into, rename = filepath.Dir(filepath.Clean(target)), filepath.Base(target)
		if _, err := os.Stat(into); err != nil {
			return fmt.Errorf("the folder %s does not exist; make it first", into)
		}
	} else if strings.HasSuffix(where, "/.") && s.Directory {
		into, rename = filepath.Dir(filepath.Clean(mustAbs(target))), filepath.Base(mustAbs(target))
	}
	return unpack(resp.Body, into, s.Name, rename)
}

func mustAbs(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

// unpack writes a tar below dir. Its first part is called top there and gets
// the name rename (unless empty). Nothing is written outside of dir: the tar
// comes from a container, which may be hostile.
func unpack(r io.Reader, dir, top, rename string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer root.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		name := path.Clean("/" + h.Name)[1:]
		if rename != "" {
			if name == top {
				name = rename
			} else if rest, ok := strings.CutPrefix(name, top+"/"); ok {
				name = rename + "/" + rest
			}
		}
		if name == "" {
			continue
		}
		if err := unpackOne(root, tr, h, filepath.FromSlash(name)); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
		}
	}
}

func unpackOne(root *os.Root, r io.Reader, h *tar.Header, name string) error {
	mode := h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(name, mode|0o700); err != nil {
			return err
		}
		return root.Chmod(name, mode|0o700)
	case tar.TypeReg:
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		return root.Chtimes(name, h.ModTime, h.ModTime)
	case tar.TypeSymlink:
		_ = root.Remove(name)
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		_ = root.Remove(name)
		return root.Link(filepath.FromSlash(path.Clean("/" + h.Linkname)[1:]), name)
	}
	return nil // devices and sockets mean nothing outside of the container
}

// copyIn copies a file or folder of this host into a container; `-` reads a
// tar from standard input.
func (a *app) copyIn(ctx context.Context, source, word, where string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ct, err := a.container(ctx, word)
	if err != nil {
		return err
	}
	into, name := where, ""
	var body io.Reader = a.Stdin
	if source != "-" {
		info, err := os.Stat(source)
		if err != nil {
			return fmt.Errorf("%s does not exist on this host: name a file or folder, or write NAME:/path for one in a container", source)
		}
		name = filepath.Base(mustAbs(source))
		switch s, err := a.stat(ctx, ct, where); {
		case err == nil && s.Directory:
			if strings.HasSuffix(source, "/.") {
				name = ""
			}
		case err == nil && info.IsDir():
			return fmt.Errorf("%s:%s is a file; a folder cannot take its place", ct.Name, where)
		case err == nil || errors.Is(err, fs.ErrNotExist):
			if strings.HasSuffix(where, "/") && !info.IsDir() {
				return fmt.Errorf("the folder %s does not exist in %s; make it first with `skerry exec %s mkdir -p %s`", where, ct.Name, ct.Name, where)
			}
			into, name = path.Dir(path.Clean(where)), path.Base(where)
		default:
			return err
		}
		r, w := io.Pipe()
		defer r.Close()
		go func() { w.CloseWithError(pack(w, source, name)) }()
		body = r
	}
	return done(c.PutArchiveWithBody(ctx, ct.ID, &client.PutArchiveParams{Tenant: ct.TenantID, Path: into}, "application/x-tar", body))
}

// pack writes source as a tar whose first part is called name; an empty name
// means the content of the folder.
func pack(w io.Writer, source, name string) error {
	t := tar.NewWriter(w)
	err := filepath.WalkDir(source, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		inside := path.Join(name, filepath.ToSlash(rel))
		if inside == "." || inside == "" {
			return nil
		}
		return packOne(t, p, inside, rel == ".")
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", source, err)
	}
	return t.Close()
}

func packOne(t *tar.Writer, p, inside string, follow bool) error {
	info, err := os.Lstat(p)
	if follow {
		info, err = os.Stat(p)
	}
	if err != nil {
		return err
	}
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = os.Readlink(p); err != nil {
			return err
		}
	case !info.Mode().IsRegular() && !info.IsDir():
		return nil // sockets, devices and pipes stay here
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname = inside, "", ""
	h.Uid, h.Gid = 0, 0 // users of this host mean nothing in the container
	if info.IsDir() {
		h.Name += "/"
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(t, f, info.Size())
	return err
}
