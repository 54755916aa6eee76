package ctrd

import (
	"context"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/workload"
)

// diagnose finds out whether a container could not start because of its command.
// The engine only has a sentence about it; looking into the file system the way
// the container would is exact. nil means that the command is not to blame, or
// that this cannot be told.
func (r *Runtime) diagnose(ctx context.Context, f *facts) *workload.CommandError {
	c, err := r.client.ContainerService().Get(ctx, string(f.spec.ID))
	if err != nil {
		return nil //nolint:nilerr // the start's own error is what is reported then
	}
	oci, err := decodeSpec(c)
	if err != nil || oci.Process == nil || len(oci.Process.Args) == 0 {
		return nil //nolint:nilerr // as above
	}
	var found *workload.CommandError
	err = r.withLayer(f.mounts, f.spec.Mounts, true, func(t *tree) error {
		found = t.checkCommand(oci.Process.Args[0], oci.Process.Cwd, oci.Process.Env)
		return nil
	})
	if err != nil {
		r.log.Debug("start not diagnosed", "container", string(f.spec.ID), "err", err)
		return nil
	}
	return found
}

// checkCommand looks a command up as execvp would.
func (t *tree) checkCommand(name, cwd string, env []string) *workload.CommandError {
	var candidates []string
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join(cwd, name)
		}
		candidates = []string{name}
	} else {
		search := defaultPath
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, "PATH="); ok {
				search = v
			}
		}
		for _, dir := range strings.Split(search, ":") {
			candidates = append(candidates, path.Join(cwd, dir, name))
			if path.IsAbs(dir) {
				candidates[len(candidates)-1] = path.Join(dir, name)
			}
		}
	}
	seen := false
	for _, c := range candidates {
		f, err := t.open(c, unix.O_PATH, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		err = unix.Fstat(int(f.Fd()), &st)
		f.Close()
		if err != nil {
			continue
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0 {
			if t.hasInterpreter(c) {
				return nil
			}
			return &workload.CommandError{Command: name, Err: workload.ErrCommandNotFound}
		}
		seen = true
	}
	if seen {
		return &workload.CommandError{Command: name, Err: workload.ErrNotExecutable}
	}
	return &workload.CommandError{Command: name, Err: workload.ErrCommandNotFound}
}

// hasInterpreter is false when file is a script whose interpreter is missing:
// the kernel says "not found" for the script then.
func (t *tree) hasInterpreter(file string) bool {
	f, err := t.open(file, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return true
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	words, ok := strings.CutPrefix(line, "#!")
	if !ok || len(strings.Fields(words)) == 0 {
		return true
	}
	in, err := t.open(strings.Fields(words)[0], unix.O_PATH, 0)
	if err != nil {
		return !errors.Is(err, workload.ErrPathNotFound)
	}
	in.Close()
	return true
}
