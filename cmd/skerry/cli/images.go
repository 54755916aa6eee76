package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

func (a *app) images(ctx context.Context) ([]model.Image, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[model.Image](func(cursor string) (*http.Response, error) {
		return c.ListImages(ctx, &client.ListImagesParams{Tenant: a.tenant, Cursor: cursor, Limit: 1000})
	})
}

func (a *app) imageCommands() []*cobra.Command {
	var quiet bool
	ls := a.Command("ls [flags]", "image.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.images(cmd.Context())
		if err != nil {
			return err
		}
		now := time.Now()
		return list(a, all, quiet, func(i model.Image) string { return familiar(i.Name) },
			[]string{"NAME", "DIGEST", "SIZE", "PLATFORMS", "PUBLIC", "AGE"},
			func(i model.Image) []string {
				return []string{familiar(i.Name), short(strings.TrimPrefix(i.Digest, "sha256:")), size(i.SizeBytes), strings.Join(i.Platforms, ", "), yesNo(i.Public), age(i.CreatedAt, now)}
			})
	})
	ls.Args = a.exactly(0)
	ls.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	inspect := a.Command("inspect NAME", "image.inspect", func(cmd *cobra.Command, args []string) error {
		if m, err := a.tagged(cmd.Context(), args[0]); err != nil || m != nil {
			return a.shown(m, err)
		}
		d, err := a.image(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.printJSON(d)
	})
	inspect.Args = a.exactly(1)
	inspect.ValidArgsFunction = a.complete(a.imageNames)
	rm := a.Command("rm NAME...", "image.rm", func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return removeEach(a, args, func(w string) (any, error) {
			if m, err := a.tagged(cmd.Context(), w); err != nil || m != nil {
				if err != nil {
					return nil, err
				}
				return a.untag(cmd.Context(), w, m)
			}
			d, err := a.image(cmd.Context(), w)
			if err != nil {
				return nil, err
			}
			return d.Image, done(c.DeleteImage(cmd.Context(), d.Image.ID, &client.DeleteImageParams{Tenant: d.Image.TenantID}))
		})
	})
	rm.Args = a.atLeast(1)
	rm.ValidArgsFunction = a.complete(a.imageNames)
	return []*cobra.Command{a.group("image", "image", ls, a.pullCommand(), a.pushCommand(), a.importCommand(), a.exportCommand(), rm, inspect)}
}

// removeEach removes things one by one, goes on after a failure, and says all.
func removeEach[T any](a *app, words []string, remove func(word string) (T, error)) error {
	var wrong []error
	gone := []T{}
	for _, w := range words {
		v, err := remove(w)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		gone = append(gone, v)
		if !a.json {
			fmt.Fprintln(a.Stdout, w)
		}
	}
	if a.json && len(wrong) == 0 {
		return a.printJSON(page[T]{Items: gone})
	}
	return errors.Join(wrong...)
}

// image finds an image by id, name, digest or the beginning of its digest.
func (a *app) image(ctx context.Context, word string) (client.ImageDetail, error) {
	c, err := a.connect()
	if err != nil {
		return client.ImageDetail{}, err
	}
	if word == "" {
		return client.ImageDetail{}, usagef("%s", a.say("name.empty"))
	}
	got, err := answer[client.ImageDetail](c.GetImage(ctx, word, &client.GetImageParams{Tenant: a.tenant}))
	if statusOf(err) != http.StatusNotFound {
		return got, err
	}
	all, lerr := a.images(ctx)
	if lerr != nil {
		return got, lerr
	}
	var names, ids []string
	for _, i := range all {
		names = append(names, familiar(i.Name))
		if len(word) >= 6 && (strings.HasPrefix(i.ID, word) || strings.HasPrefix(strings.TrimPrefix(i.Digest, "sha256:"), strings.TrimPrefix(word, "sha256:"))) {
			ids = append(ids, i.ID)
		}
	}
	if len(ids) == 1 {
		return answer[client.ImageDetail](c.GetImage(ctx, ids[0], &client.GetImageParams{Tenant: a.tenant}))
	}
	return got, a.unknown("image", word, names)
}

func (a *app) pullCommand() *cobra.Command {
	var user, passwordFile string
	c := a.Command("pull [flags] NAME", "image.pull", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		in := client.PullInput{Image: args[0], Username: user}
		if passwordFile != "" {
			if in.Password, err = a.secretFrom(passwordFile); err != nil {
				return err
			}
		}
		resp, err := conn.PullImage(cmd.Context(), &client.PullImageParams{Tenant: a.tenant}, in, sse)
		img, err := work[model.Image](a, resp, err)
		if err != nil {
			return err
		}
		return a.one(img, familiar(img.Name)+" "+img.Digest)
	})
	c.Args = a.exactly(1)
	c.Flags().StringVarP(&user, "user", "u", "", a.say("flag.pull-user"))
	c.Flags().StringVar(&passwordFile, "password-file", "", a.say("flag.password-file"))
	return c
}

func (a *app) importCommand() *cobra.Command {
	var name string
	c := a.Command("import [flags] TAR...", "image.import", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		images := []model.Image{}
		for _, file := range args {
			more, err := a.importOne(cmd.Context(), conn, file, name)
			if err != nil {
				return err
			}
			images = append(images, more...)
		}
		if a.json {
			return a.printJSON(page[model.Image]{Items: images})
		}
		for _, i := range images {
			fmt.Fprintln(a.Stdout, familiar(i.Name)+" "+i.Digest)
		}
		return nil
	})
	c.Args = a.atLeast(1)
	c.Flags().StringVarP(&name, "name", "n", "", a.say("flag.import-name"))
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"tar", "gz", "tgz", "zst"}, cobra.ShellCompDirectiveFilterFileExt
	}
	return c
}

func (a *app) importOne(ctx context.Context, conn *conn, file, name string) ([]model.Image, error) {
	var in io.Reader = a.Stdin
	var length int64 = -1
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the archive: %w", err)
		case info.IsDir():
			return nil, fmt.Errorf("%s is a folder; name an image archive (docker save or OCI layout, also gz or zst)", file)
		}
		in, length = f, info.Size()
	}
	resp, err := conn.ImportImageWithBody(ctx, &client.ImportImageParams{Tenant: a.tenant, Name: name}, "application/x-tar", io.NopCloser(in), sse,
		func(_ context.Context, r *http.Request) error {
			if length >= 0 {
				r.ContentLength = length
			}
			return nil
		})
	got, err := work[page[model.Image]](a, resp, err)
	return got.Items, err
}

func (a *app) exportCommand() *cobra.Command {
	var out string
	c := a.Command("export [flags] NAME", "image.export", func(cmd *cobra.Command, args []string) error {
		conn, err := a.connect()
		if err != nil {
			return err
		}
		if out == "" || out == "-" {
			if isTerminal(a.Stdout) {
				return usagef("%s", a.say("export.terminal"))
			}
			out = "-"
		}
		resp, what, err := a.exported(cmd.Context(), conn, args[0])
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if out == "-" {
			_, err = io.Copy(a.Stdout, resp.Body)
			return err
		}
		if err := writeFile(out, resp.Body); err != nil {
			return err
		}
		return a.one(what, out)
	})
	c.Args = a.exactly(1)
	c.Flags().StringVarP(&out, "output", "o", "", a.say("flag.output"))
	c.ValidArgsFunction = a.complete(a.imageNames)
	return c
}

// exported opens the tar of a repository's tag or of an image.
func (a *app) exported(ctx context.Context, conn *conn, word string) (*http.Response, any, error) {
	m, err := a.tagged(ctx, word)
	if err != nil {
		return nil, nil, err
	}
	if m != nil {
		_, reference := splitReference(word)
		resp, err := streamed(conn.ExportManifest(ctx, m.Repository, reference, &client.ExportManifestParams{}))
		return resp, m, err
	}
	d, err := a.image(ctx, word)
	if err != nil {
		return nil, nil, err
	}
	resp, err := streamed(conn.ExportImage(ctx, d.Image.ID, &client.ExportImageParams{Tenant: d.Image.TenantID}))
	return resp, d.Image, err
}

// shown prints a repository's image as JSON.
func (a *app) shown(m *client.ManifestDetail, err error) error {
	if err != nil {
		return err
	}
	return a.printJSON(m)
}

// writeFile writes beside the target and renames, so that an interrupted
// export leaves no half archive under the name.
func writeFile(name string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when the rename worked
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

// secretFrom reads a password from a file, from standard input (`-`), or from
// the terminal without showing it (empty).
func (a *app) secretFrom(file string) (string, error) {
	if file != "" {
		var b []byte
		var err error
		if file == "-" {
			b, err = io.ReadAll(io.LimitReader(a.Stdin, 4096))
		} else {
			b, err = readBounded(file, 4096)
		}
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		first, _, _ := strings.Cut(string(b), "\n")
		if first = strings.TrimRight(first, "\r"); first == "" {
			return "", fmt.Errorf("the password in %s is empty", file)
		}
		return first, nil
	}
	f, ok := a.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usagef("%s", a.say("password.how"))
	}
	fmt.Fprint(a.Stderr, a.say("password.ask"))
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.Stderr)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(b), nil
}

func (a *app) volumes(ctx context.Context) ([]client.Volume, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[client.Volume](func(cursor string) (*http.Response, error) {
		return c.ListVolumes(ctx, &client.ListVolumesParams{Tenant: a.tenant, Cursor: cursor, Limit: 1000})
	})
}

func (a *app) volume(ctx context.Context, word string) (client.Volume, error) {
	c, err := a.connect()
	if err != nil {
		return client.Volume{}, err
	}
	if word == "" {
		return client.Volume{}, usagef("%s", a.say("name.empty"))
	}
	v, err := answer[client.Volume](c.GetVolume(ctx, word, &client.GetVolumeParams{Tenant: a.tenant}))
	return v, a.named(err, "volume", word, func() []string { return a.volumeNames(ctx) })
}

// usersOf names what uses a volume: services, and containers whose service no
// longer names it.
func usersOf(v client.Volume) []string {
	apps := map[string]bool{}
	var by []string
	for _, u := range v.Status.UsedBy {
		switch {
		case u.Kind != "service":
		case u.Name == u.AppName:
			by, apps[u.AppName] = append(by, u.Name), true
		default:
			by, apps[u.AppName] = append(by, u.AppName+"."+u.Name), true
		}
	}
	for _, u := range v.Status.UsedBy {
		if u.Kind != "service" && !apps[u.AppName] {
			by = append(by, u.Name)
		}
	}
	slices.Sort(by)
	return slices.Compact(by)
}

func (a *app) volumeCommands() []*cobra.Command {
	var quiet bool
	ls := a.Command("ls [flags]", "volume.ls", func(cmd *cobra.Command, _ []string) error {
		all, err := a.volumes(cmd.Context())
		if err != nil {
			return err
		}
		var nodes map[string]string
		if !a.json && !quiet {
			nodes = a.nodeByID(cmd.Context())
		}
		now := time.Now()
		return list(a, all, quiet, func(v client.Volume) string { return v.Name },
			[]string{"NAME", "NODE", "SIZE", "USED BY", "AGE"},
			func(v client.Volume) []string {
				used := ""
				if v.Status.UsedBytes != nil {
					used = size(*v.Status.UsedBytes)
				}
				return []string{v.Name, firstOf(nodes[v.NodeID], short(v.NodeID)), used, strings.Join(usersOf(v), ", "), age(v.CreatedAt, now)}
			})
	})
	ls.Args = a.exactly(0)
	ls.Flags().BoolVarP(&quiet, "quiet", "q", false, a.say("flag.quiet"))
	var node string
	var labels []string
	create := a.Command("create [flags] NAME", "volume.create", func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		l, err := pairs(labels)
		if err != nil {
			return usagef("--label: %w", err)
		}
		v, err := answer[client.Volume](c.CreateVolume(cmd.Context(), &client.CreateVolumeParams{Tenant: a.tenant},
			client.VolumeInput{Name: args[0], Node: node, Spec: model.VolumeSpec{Driver: "local", Labels: l}}))
		if err != nil {
			return err
		}
		return a.one(v, v.Name)
	})
	create.Args = a.exactly(1)
	create.Flags().StringVar(&node, "node", "", a.say("flag.node"))
	create.Flags().StringArrayVarP(&labels, "label", "l", nil, a.say("flag.label"))
	inspect := a.Command("inspect NAME", "volume.inspect", func(cmd *cobra.Command, args []string) error {
		v, err := a.volume(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.printJSON(v)
	})
	inspect.Args = a.exactly(1)
	inspect.ValidArgsFunction = a.complete(a.volumeNames)
	rm := a.Command("rm NAME...", "volume.rm", func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return removeEach(a, args, func(w string) (client.Volume, error) {
			v, err := a.volume(cmd.Context(), w)
			if err != nil {
				return v, err
			}
			return v, done(c.DeleteVolume(cmd.Context(), v.ID, &client.DeleteVolumeParams{Tenant: v.TenantID}))
		})
	})
	rm.Args = a.atLeast(1)
	rm.ValidArgsFunction = a.complete(a.volumeNames)
	return []*cobra.Command{a.group("volume", "volume", ls, create, inspect, rm)}
}
