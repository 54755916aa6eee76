package ctrd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/image"
	"github.com/skerryhq/skerry/runtime/workload"
)

// identity is who a process runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// accounts are an image's /etc/passwd and /etc/group.
type accounts struct{ passwd, group []byte }

// maxAccounts bounds what is read of either file: they come from the image.
const maxAccounts = 1 << 20

// resolveUser finds who "name", "uid", "name:group" or "uid:gid" is in the image.
func (r *Runtime) resolveUser(ctx context.Context, img *image.Resolved, spec string) (identity, error) {
	acc, err := r.imageAccounts(ctx, img.ChainID)
	if err != nil {
		return identity{}, err
	}
	return acc.lookup(cmp.Or(spec, img.Config.Config.User))
}

func (a *accounts) lookup(spec string) (identity, error) {
	u, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, bytes.NewReader(a.passwd), bytes.NewReader(a.group))
	if err != nil {
		return identity{}, workload.Invalidf("user %q is not known in the image (%v): use a name from its /etc/passwd or a number", clip(spec), err)
	}
	id := identity{uid: uint32(u.Uid), gid: uint32(u.Gid), home: u.Home}
	for _, g := range u.Sgids {
		if g >= 0 {
			id.groups = append(id.groups, uint32(g))
		}
	}
	slices.Sort(id.groups)
	id.groups = slices.Compact(id.groups)
	return id, nil
}

// imageAccounts reads an image's account files once and keeps them.
func (r *Runtime) imageAccounts(ctx context.Context, chain string) (*accounts, error) {
	r.mu.Lock()
	acc := r.users[chain]
	r.mu.Unlock()
	if acc != nil {
		return acc, nil
	}
	acc = &accounts{}
	if chain != "" {
		// A view that nothing refers to: if we die here the engine collects it.
		key := "accounts-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		view, err := r.snaps.View(ctx, key, chain)
		if err != nil {
			return nil, fmt.Errorf("look into the image: %w", err)
		}
		defer func() {
			end, cancel := cleanupContext(ctx)
			defer cancel()
			if err := r.snaps.Remove(end, key); err != nil {
				r.log.Warn("image view not removed", "snapshot", key, "err", err)
			}
		}()
		if err := r.withLayer(view, nil, true, func(t *tree) (err error) {
			acc, err = t.accounts()
			return err
		}); err != nil {
			return nil, fmt.Errorf("read the accounts of the image: %w", err)
		}
	}
	r.mu.Lock()
	r.users[chain] = acc
	r.mu.Unlock()
	return acc, nil
}

func (t *tree) accounts() (*accounts, error) {
	passwd, err := t.readSmall("/etc/passwd", maxAccounts)
	if err != nil {
		return nil, err
	}
	group, err := t.readSmall("/etc/group", maxAccounts)
	if err != nil {
		return nil, err
	}
	return &accounts{passwd, group}, nil
}

// readSmall reads a regular file; one that is missing or no regular file is empty.
func (t *tree) readSmall(name string, limit int64) ([]byte, error) {
	f, err := t.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, workload.ErrPathNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, workload.Invalidf("%s in the image is larger than %d bytes", name, limit)
	}
	return b, nil
}

// hostCaps keeps the capabilities that this kernel knows: asking runc for one
// that it does not know is an error.
func hostCaps(all []string) []string {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	last, perr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || perr != nil {
		return all
	}
	out := slices.Clone(all)
	return slices.DeleteFunc(out, func(c string) bool { n, late := lateCaps[c]; return late && n > last })
}

// lateCaps are the numbers of capabilities that old kernels lack.
var lateCaps = map[string]int{"CAP_AUDIT_READ": 37, "CAP_PERFMON": 38, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
