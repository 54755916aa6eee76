package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// containers lists every container of the chosen tenant.
func (a *app) containers(ctx context.Context) ([]model.Container, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[model.Container](func(cursor string) (*http.Response, error) {
		return c.ListContainers(ctx, &client.ListContainersParams{Tenant: a.tenant, Cursor: cursor, Limit: 1000})
	})
}

// container finds the container that a word means: its id or name, the
// beginning of an id, or the first running replica of a service or an app.
func (a *app) container(ctx context.Context, word string) (model.Container, error) {
	c, err := a.connect()
	if err != nil {
		return model.Container{}, err
	}
	if word == "" {
		return model.Container{}, usagef("%s", a.say("name.empty"))
	}
	got, err := answer[model.Container](c.GetContainer(ctx, word, &client.GetContainerParams{Tenant: a.tenant}))
	if err == nil || statusOf(err) != http.StatusNotFound {
		return got, err
	}
	all, err := a.containers(ctx)
	if err != nil {
		return model.Container{}, err
	}
	found, err := pick(all, word)
	if err != nil {
		return model.Container{}, fmt.Errorf("%s", a.ambiguous(word, err))
	}
	if found == nil {
		var names []string
		for _, one := range all {
			names = append(names, one.Name, one.AppName, one.AppName+"."+one.ServiceName)
		}
		return model.Container{}, a.unknown("container", word, names)
	}
	return *found, nil
}

// runApp gives the app that a word names if it is one as `skerry run` makes
// them, with one service of the same name; nil if it is not.
func (a *app) runApp(ctx context.Context, word string) (*client.App, error) {
	c, err := a.connect()
	if err != nil || word == "" {
		return nil, err
	}
	got, err := answer[client.App](c.GetApp(ctx, word, &client.GetAppParams{Tenant: a.tenant}))
	switch s := statusOf(err); {
	case s == http.StatusNotFound || s == http.StatusBadRequest:
		return nil, nil
	case err != nil:
		return nil, err
	}
	if _, same := got.Spec.Services[got.Name]; !same || len(got.Spec.Services) != 1 || got.Name != word {
		return nil, nil
	}
	return &got, nil
}

func (a *app) containersOf(ctx context.Context, x client.App) ([]model.Container, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return pages[model.Container](func(cursor string) (*http.Response, error) {
		return c.ListContainers(ctx, &client.ListContainersParams{Tenant: x.TenantID, App: x.ID, Cursor: cursor, Limit: 1000})
	})
}

// replicas gives every container that a word means: one by its name or id,
// otherwise all of the service or the app.
func (a *app) replicas(ctx context.Context, word string) ([]model.Container, error) {
	whole, err := a.runApp(ctx, word)
	if err != nil {
		return nil, err
	}
	if whole != nil {
		if all, err := a.containersOf(ctx, *whole); err != nil || len(all) > 0 {
			return all, err
		}
	}
	ct, err := a.container(ctx, word)
	if err != nil || meant(ct, word) {
		return []model.Container{ct}, err
	}
	all, err := a.containers(ctx)
	return slices.DeleteFunc(all, func(c model.Container) bool {
		return c.AppID != ct.AppID || word != ct.AppName && c.ServiceID != ct.ServiceID
	}), err
}

// meant reports whether a word names this very container, and not a service or
// an app that it is a part of.
func meant(c model.Container, word string) bool {
	return c.Name == word || strings.HasPrefix(c.ID, word)
}

// errAmbiguous lists the names that a word could mean.
type errAmbiguous []string

// Error names them.
func (e errAmbiguous) Error() string { return strings.Join(e, ", ") }

func (a *app) ambiguous(word string, err error) string {
	return a.say("ambiguous", word, err.Error())
}

// pick chooses among containers: name, then id prefix, then service
// (`app.service` or `service`), then app; the first running replica wins.
func pick(all []model.Container, word string) (*model.Container, error) {
	slices.SortFunc(all, func(x, y model.Container) int {
		if r := rank(x) - rank(y); r != 0 {
			return r
		}
		if s := strings.Compare(x.ServiceName, y.ServiceName); s != 0 {
			return s
		}
		return x.Slot - y.Slot
	})
	for _, fits := range []struct {
		one   bool // must mean only one object
		match func(model.Container) bool
		of    func(model.Container) string
	}{
		{false, func(c model.Container) bool { return c.Name == word || c.ID == word }, nil},
		{true, func(c model.Container) bool { return len(word) >= 3 && strings.HasPrefix(c.ID, word) }, func(c model.Container) string { return c.ID }},
		{false, func(c model.Container) bool {
			return c.AppName+"."+c.ServiceName == word || c.AppName+"/"+c.ServiceName == word
		}, nil},
		{false, func(c model.Container) bool { return c.AppName == word }, nil},
		{true, func(c model.Container) bool { return c.ServiceName == word }, func(c model.Container) string { return c.AppName + "." + c.ServiceName }},
	} {
		var found []model.Container
		var different []string
		for _, c := range all {
			if !fits.match(c) {
				continue
			}
			found = append(found, c)
			if fits.of != nil && !slices.Contains(different, fits.of(c)) {
				different = append(different, fits.of(c))
			}
		}
		switch {
		case fits.one && len(different) > 1:
			slices.Sort(different)
			return nil, errAmbiguous(different[:min(5, len(different))])
		case len(found) > 0:
			return &found[0], nil
		}
	}
	return nil, nil
}

func rank(c model.Container) int {
	if c.Status.Phase == model.PhaseRunning {
		return 0
	}
	return 1
}

// unknown says that a name is not known, with what comes near.
func (a *app) unknown(kind, word string, names []string) error {
	return errors.New(a.say("unknown."+kind, word) + a.nearText(word, names))
}

// nearText is the tail of a sentence that proposes near names.
func (a *app) nearText(word string, names []string) string {
	near := nearNames(word, names)
	if len(near) == 0 {
		return ""
	}
	return a.say("near", strings.Join(near, ", "))
}

// nearNames gives at most three names that contain word or differ little.
func nearNames(word string, names []string) []string {
	type scored struct {
		name string
		far  int
	}
	var all []scored
	low := strings.ToLower(word)
	for _, n := range names {
		d := editDistance(low, strings.ToLower(n))
		if len(low) >= 3 && strings.Contains(strings.ToLower(n), low) {
			d = min(d, 1)
		}
		if d <= max(1, min(3, (len(word)+1)/3)) {
			all = append(all, scored{n, d})
		}
	}
	slices.SortFunc(all, func(x, y scored) int {
		if x.far != y.far {
			return x.far - y.far
		}
		return strings.Compare(x.name, y.name)
	})
	var out []string
	for _, s := range all {
		if !slices.Contains(out, s.name) && len(out) < 3 {
			out = append(out, s.name)
		}
	}
	return out
}

func editDistance(x, y string) int {
	a, b := []rune(x), []rune(y)
	if len(a) > 128 || len(b) > 128 {
		return 128
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diag := row[0]
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}

// named turns the server's 404 about an object into a sentence with near
// names; other errors pass.
func (a *app) named(err error, kind, word string, names func() []string) error {
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	return a.unknown(kind, word, names())
}

// The names of each kind, for near matches and completion. What cannot be
// listed gives none.

func (a *app) appNames(ctx context.Context) []string {
	apps, err := a.apps(ctx)
	return namesOf(apps, err, func(x client.App) []string { return []string{x.Name} })
}

func (a *app) containerNames(ctx context.Context) []string {
	all, err := a.containers(ctx)
	return namesOf(all, err, func(x model.Container) []string { return []string{x.Name} })
}

func (a *app) serviceNames(ctx context.Context) []string {
	all, err := a.services(ctx, "")
	return namesOf(all, err, func(x model.Service) []string { return []string{x.AppName + "." + x.Name} })
}

func (a *app) imageNames(ctx context.Context) []string {
	all, err := a.images(ctx)
	return namesOf(all, err, func(x model.Image) []string { return []string{familiar(x.Name)} })
}

func (a *app) volumeNames(ctx context.Context) []string {
	all, err := a.volumes(ctx)
	return namesOf(all, err, func(x client.Volume) []string { return []string{x.Name} })
}

func (a *app) nodeNames(ctx context.Context) []string {
	all, err := a.nodes(ctx)
	return namesOf(all, err, func(x model.Node) []string { return []string{x.Name} })
}

func (a *app) userNames(ctx context.Context) []string {
	all, err := a.users(ctx)
	return namesOf(all, err, func(x client.User) []string { return []string{x.Name} })
}

func (a *app) tenantNames(ctx context.Context) []string {
	all, err := a.tenants(ctx)
	return namesOf(all, err, func(x model.Tenant) []string { return []string{x.Name} })
}

func namesOf[T any](items []T, err error, names func(T) []string) []string {
	if err != nil {
		return nil
	}
	var out []string
	for _, i := range items {
		out = append(out, names(i)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// familiar shortens a full image name the way people write it.
func familiar(name string) string {
	if s, ok := strings.CutPrefix(name, "docker.io/library/"); ok {
		return s
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, model.RegistryHost+"/"), "docker.io/")
}
