package debimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// pkg is one package in the version that apt would install now.
type pkg struct {
	name    string
	version string
	depends string // comma-separated, as the package index writes it
}

// scriptOnly lists packages that a program needs only for its maintainer scripts,
// its documentation or its packaging. Without them the closure is small, and no
// maintainer script runs here.
var scriptOnly = []string{
	"adduser", "awk", "base-passwd", "cdebconf", "debconf", "debconf-2.0", "dpkg", "init-system-helpers",
	"install-info", "iproute2", "libc-l10n", "libsasl2-modules-db", "locales", "locales-all", "lsb-base",
	"mawk", "netbase", "openssl", "passwd", "perl", "perl-base", "perl:any", "postgresql-client-common",
	"postgresql-common", "readline-common", "sensible-utils", "ssl-cert", "sysvinit-utils", "tar", "ucf",
	"usr-is-merged", "usrmerge",
}

// pruned says whether a dependency is left out. LLVM is for PostgreSQL's optional
// just-in-time compiler and weighs more than everything else together.
func pruned(name string) bool {
	return slices.Contains(scriptOnly, name) || strings.HasPrefix(name, "libllvm") || strings.HasPrefix(name, "libz3-")
}

var (
	indexMu sync.Mutex         // guards index
	index   = map[string]pkg{} // what apt said in this process
)

// resolve returns the packages, sorted by name, and with closure what they depend
// on, taking the first of alternatives. It updates the package index once when a
// package is unknown.
func resolve(ctx context.Context, roots []string, closure bool) ([]pkg, error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: %s was not found", ErrNoPackages, tool)
		}
	}
	found := map[string]pkg{}
	want := slices.Clone(roots)
	for len(want) > 0 {
		if err := lookUp(ctx, want); err != nil {
			return nil, err
		}
		var next []string
		for _, name := range want {
			indexMu.Lock()
			p := index[name]
			indexMu.Unlock()
			found[name] = p
			if !closure {
				continue
			}
			for _, dep := range firstAlternatives(p.depends) {
				if _, have := found[dep]; !have && !pruned(dep) && !slices.Contains(next, dep) && !slices.Contains(want, dep) {
					next = append(next, dep)
				}
			}
		}
		want = next
	}
	set := make([]pkg, 0, len(found))
	for _, p := range found {
		set = append(set, p)
	}
	slices.SortFunc(set, func(a, b pkg) int { return strings.Compare(a.name, b.name) })
	return set, nil
}

// firstAlternatives returns the names in a Depends line, the first of each choice.
func firstAlternatives(depends string) []string {
	var names []string
	for choice := range strings.SplitSeq(depends, ",") {
		first, _, _ := strings.Cut(choice, "|")
		first, _, _ = strings.Cut(first, "(")
		name := strings.TrimSuffix(strings.TrimSpace(first), ":any")
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// lookUp puts the named packages into the index, together with everything that
// they or any definition may depend on: apt-cache takes most of a second for each
// call, however much is asked.
func lookUp(ctx context.Context, names []string) error {
	if len(unknown(names)) == 0 {
		return nil
	}
	show(ctx, names)
	if len(unknown(names)) > 0 {
		// A fresh host has no package index yet.
		if err := run(ctx, "", "apt-get", "update", "-qq"); err != nil {
			return err
		}
		show(ctx, names)
	}
	if missing := unknown(names); len(missing) > 0 {
		return fmt.Errorf("apt knows no package called %s", strings.Join(missing, ", "))
	}
	return nil
}

func unknown(names []string) []string {
	indexMu.Lock()
	defer indexMu.Unlock()
	var missing []string
	for _, name := range names {
		if _, ok := index[name]; !ok {
			missing = append(missing, name)
		}
	}
	return missing
}

// show reads the records of the named packages' candidates and of all that they
// depend on. A package that apt does not know makes apt-cache fail while it still
// prints the others, so its status says nothing: the caller looks at what is in
// the index afterwards.
func show(ctx context.Context, names []string) {
	roots := slices.Clone(names)
	for _, def := range definitions {
		roots = append(append(roots, def.base...), def.packages...)
	}
	slices.Sort(roots)
	ask := func(args, names []string) string {
		cmd := exec.CommandContext(ctx, "apt-cache", append(args, names...)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, _ := cmd.Output()
		return string(out)
	}
	reached := ask([]string{
		"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances",
	}, slices.Compact(roots))
	all := slices.Clone(names)
	for line := range strings.Lines(reached) {
		if line[0] != ' ' && line[0] != '<' && line[0] != '|' { // a dependency is indented, a virtual package is in <>
			all = append(all, strings.TrimSpace(line))
		}
	}
	slices.Sort(all)
	out := ask([]string{"show", "--no-all-versions"}, slices.Compact(all))
	indexMu.Lock()
	defer indexMu.Unlock()
	for record := range strings.SplitSeq(out, "\n\n") {
		p := parseRecord(record)
		if _, have := index[p.name]; p.name != "" && !have {
			index[p.name] = p
		}
	}
}

// parseRecord reads the fields of one package record that matter here.
func parseRecord(record string) pkg {
	var p pkg
	for line := range strings.SplitSeq(record, "\n") {
		field, value, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		switch field {
		case "Package":
			p.name = value
		case "Version":
			p.version = value
		case "Depends", "Pre-Depends":
			p.depends += value + ","
		}
	}
	return p
}

// fetch returns each package's file by name, from the cache or, all missing ones at
// once, through apt-get, which checks them against the signed index.
func fetch(ctx context.Context, cache string, set []pkg) (map[string]string, error) {
	dir := filepath.Join(cache, "packages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	files := map[string]string{}
	err := locked(dir, func() error {
		var missing []pkg
		for _, p := range set {
			files[p.name] = filepath.Join(dir, p.name+"_"+url.PathEscape(p.version)+".deb")
			if _, err := os.Stat(files[p.name]); err != nil {
				missing = append(missing, p)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		return download(ctx, dir, missing, files)
	})
	if err != nil {
		return nil, fmt.Errorf("fetch packages: %w", err)
	}
	return files, nil
}

// download gets the packages into a folder under dir and moves each to its place.
func download(ctx context.Context, dir string, missing []pkg, files map[string]string) error {
	work, err := os.MkdirTemp(dir, ".get-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	args := []string{"download", "-qq", "-o", "APT::Sandbox::User=root"}
	for _, p := range missing {
		args = append(args, p.name+"="+p.version)
	}
	if err := run(ctx, work, "apt-get", args...); err != nil {
		// The index may be older than the archive: renew it once.
		if upErr := run(ctx, "", "apt-get", "update", "-qq"); upErr != nil {
			return errors.Join(err, upErr)
		}
		if err := run(ctx, work, "apt-get", args...); err != nil {
			return err
		}
	}
	for _, p := range missing {
		got, err := filepath.Glob(filepath.Join(work, p.name+"_*.deb"))
		if err != nil || len(got) != 1 {
			return fmt.Errorf("apt-get download left %d files for %s, one was expected", len(got), p.name)
		}
		if err := os.Rename(got[0], files[p.name]); err != nil {
			return err
		}
	}
	return nil
}

// architecture returns the host's architecture by its Debian name, which for the
// two that Skerry supports (amd64, arm64) is also the OCI name.
func architecture(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "dpkg", "--print-architecture").Output()
	if err != nil {
		return "", fmt.Errorf("ask dpkg for the architecture: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// run executes a program in dir and returns its output only inside an error.
func run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
