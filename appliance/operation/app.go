package operation

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/compose"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// ParseCompose reads a compose text and says what it means.
func (d *Desk) ParseCompose(ctx context.Context, _ access.Caller, in api.ComposeInput) (*api.Compose, error) {
	app, err := load(ctx, in.Source, in.Name, in.Env, in.Files)
	if err != nil {
		return nil, err
	}
	if err := checkServices(app.Services); err != nil {
		return nil, err
	}
	out := &api.Compose{Name: app.Name, Services: app.Services, Volumes: sortedKeys(app.Volumes), Problems: []api.ComposeProblem{}}
	for _, h := range app.HostAccess {
		out.Problems = append(out.Problems, api.ComposeProblem{
			Line: h.Line, Column: h.Column, Path: "services." + h.Service,
			Message: "this reaches the host itself (" + strings.TrimSpace(h.Kind+" "+h.Path) + "); only a platform administrator may deploy it",
		})
	}
	return out, nil
}

func load(ctx context.Context, source, name string, env, files map[string]string) (*compose.App, error) {
	app, err := compose.Load(ctx, compose.Input{Source: source, Name: name, Env: env, Files: files})
	if list, ok := errors.AsType[compose.Problems](err); ok {
		out := &api.ComposeError{}
		for _, p := range list {
			out.Problems = append(out.Problems, api.ComposeProblem{Line: p.Line, Column: p.Column, Path: p.Path, Message: p.Detail})
		}
		return nil, out
	}
	return app, err
}

// draft is an app on its way: the spec with everything resolved.
type draft struct {
	name string
	// environmentID is where it is to run; empty while that is not known.
	environmentID string
	spec          model.AppSpec
	volumes       []model.Volume
	// pinned services keep the very content that they name, whatever their tag
	// means by now: a tag moves a service only on request.
	pinned map[string]model.ContainerSpec
	// missing, unless nil, takes the images that are not here, by service,
	// instead of an error: a plan fetches nothing.
	missing map[string]string
}

// prepare turns a request into a draft: reads the compose text, checks, asks
// for the permissions that the content needs, resolves images and volumes.
// Nothing is changed yet, except that images may have been fetched.
func (d *Desk) prepare(ctx context.Context, c access.Caller, environmentID string, in api.AppChange, report api.Report) (*draft, error) {
	out := &draft{environmentID: environmentID}
	return out, d.fill(ctx, c, out, in, report)
}

// fill is prepare for a draft that is there already.
func (d *Desk) fill(ctx context.Context, c access.Caller, out *draft, in api.AppChange, report api.Report) error {
	out.name, out.spec = in.Name, model.AppSpec{Services: in.Services}
	external := map[string]bool{}
	if len(in.Services) == 0 && in.Source != "" {
		app, err := load(ctx, in.Source, in.Name, in.Env, in.Files)
		if err != nil {
			return err
		}
		out.spec.Services, out.spec.Source = app.Services, in.Source
		if out.name == "" {
			out.name = app.Name
		}
		for name, v := range app.Volumes {
			if v.External {
				external[name] = true
				continue
			}
			out.volumes = append(out.volumes, newVolume(name, v.Spec))
		}
	} else {
		out.spec.Source = in.Source
	}
	return d.finish(ctx, c, out, external, in.Pull, report)
}

// newVolume is a volume that has no node yet: its data lives where the first
// container that mounts it is placed.
func newVolume(name string, spec model.VolumeSpec) model.Volume {
	v := model.Volume{Spec: spec}
	v.ID, v.Name = command.NewID(), name
	if v.Spec.Driver == "" {
		v.Spec.Driver = "local"
	}
	return v
}

// finish checks and resolves the services of a draft.
func (d *Desk) finish(ctx context.Context, c access.Caller, out *draft, external map[string]bool, pull api.PullPolicy, report api.Report) error {
	// What a revision or a service holds is shared with the state and with its
	// indexes: only a copy of our own may be filled in.
	out.spec = out.spec.Clone()
	if err := checkServices(out.spec.Services); err != nil {
		return err
	}
	for _, name := range sortedKeys(out.spec.Services) {
		s := out.spec.Services[name]
		if needs := access.HostNeeds(s.Container); len(needs) > 0 {
			if err := d.mayReachHost(c, name, needs, s.Container); err != nil {
				return err
			}
		}
		for i, p := range s.Ports {
			if err := d.checkHostPort(ctx, out.environmentID, p); err != nil {
				err.Field = path("services.%s.ports[%d].hostPort", name, i)
				return err
			}
		}
		wanted := s.Container.Image
		if was, ok := out.pinned[name]; ok && was.ImageDigest != "" && was.Image == wanted {
			wanted += "@" + was.ImageDigest
		}
		full, digest, err := d.resolve(ctx, c, wanted, pull, report)
		if out.missing != nil && model.KindOf(err) == model.KindNotFound {
			full, digest, err = wanted, "", nil
			out.missing[name] = wanted
		}
		if err != nil {
			if e, ok := errors.AsType[*model.Error](err); ok && e.Field == "" {
				return e.At(path("services.%s.container.image", name))
			}
			return err
		}
		s.Container.Image, s.Container.ImageDigest = full, digest
		for i := range s.Container.Mounts {
			m := &s.Container.Mounts[i]
			m.VolumeID = "" // filled in while applying
			if m.Type == model.MountVolume && !external[m.Source] && !slices.ContainsFunc(out.volumes, func(v model.Volume) bool { return v.Name == m.Source }) {
				out.volumes = append(out.volumes, newVolume(m.Source, model.VolumeSpec{}))
			}
		}
		out.spec.Services[name] = s
	}
	return nil
}

// mayReachHost asks for the permission that reaches beyond the container.
func (d *Desk) mayReachHost(c access.Caller, service string, needs []string, spec model.ContainerSpec) error {
	at := path("services.%s.container", service)
	if access.Decide(&c.Principal, access.PermHost, c.TenantID()) != access.Allow {
		return model.Errorf(model.KindDenied, "host_access_denied",
			"this asks for %s, which reaches the host itself; only a platform administrator may deploy it", strings.Join(needs, ", ")).At(at)
	}
	for _, m := range spec.Mounts {
		if m.Type != model.MountBind {
			continue
		}
		for _, own := range slices.Concat(hostPaths, d.cfg.OwnPaths) {
			if within(m.Source, own) {
				return invalid("path_invalid", "%s belongs to Skerry itself and is never given to a container", clip(m.Source)).At(at)
			}
		}
	}
	return nil
}

// within reports whether a path of the host is a folder or lies in it, also by
// way of links.
func within(path, folder string) bool {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		target = path // it is not there yet, or not to be seen
	}
	for _, p := range []string{filepath.Clean(path), target} {
		if p == folder || strings.HasPrefix(p, folder+"/") {
			return true
		}
	}
	return false
}

// checkHostPort refuses a port that the hosts themselves need or that a foreign
// process holds on one of them. What other services hold is judged while applying.
func (d *Desk) checkHostPort(ctx context.Context, environmentID string, p model.PortSpec) *model.Error {
	if p.HostPort == 0 {
		return nil
	}
	if p.Protocol == model.TCP && slices.Contains(d.cfg.Control, p.HostPort) {
		return model.Errorf(model.KindConflict, "port_taken", "port %d/tcp is Skerry's own: console, API and registry answer there; choose another", p.HostPort)
	}
	if p.Protocol == model.UDP && d.cfg.Overlay != 0 && p.HostPort == d.cfg.Overlay {
		return model.Errorf(model.KindConflict, "port_taken", "port %d/udp is Skerry's own: packets between nodes arrive there; choose another", p.HostPort)
	}
	holder, node, err := d.cfg.Holder(ctx, environmentID, p)
	if err != nil {
		d.log.Warn("cannot see who holds a port", "port", p.HostPort, "err", err)
		return nil
	}
	if holder != "" {
		return model.Errorf(model.KindConflict, "port_taken", "port %d/%s is held by %s on node %s; choose another, or end that process", p.HostPort, p.Protocol, holder, node)
	}
	return nil
}

// CreateApp makes a new app.
func (d *Desk) CreateApp(ctx context.Context, c access.Caller, in api.AppChange, report api.Report) (*model.App, error) {
	view := d.cfg.Store.View()
	env := in.Environment
	if env == "" {
		env = model.DefaultEnvironment
	}
	environment, err := view.FindEnvironment(env)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		if err := d.nameFree(c, in.Name); err != nil {
			return nil, err // before images are fetched for nothing
		}
	}
	dr, err := d.prepare(ctx, c, environment.ID, in, report)
	if err != nil {
		return nil, err
	}
	if err := d.nameFree(c, dr.name); err != nil {
		return nil, err
	}
	app := model.App{TenantID: c.TenantID(), EnvironmentID: environment.ID, Spec: dr.spec}
	app.ID, app.Name = command.NewID(), dr.name
	return d.put(ctx, c, app, command.MustNotExist, dr)
}

func (d *Desk) nameFree(c access.Caller, name string) error {
	if err := checkAppName("app", name); err != nil {
		if e, ok := errors.AsType[*model.Error](err); ok {
			return e.At("name")
		}
		return err
	}
	if other, ok := d.cfg.Store.View().AppByName(c.TenantID(), name); ok {
		if other.Removing {
			return model.Errorf(model.KindConflict, "name_taken", "the app %s is just being removed; try again in a moment", name).At("name")
		}
		return model.Errorf(model.KindConflict, "name_taken", "there is an app %s already; choose another name, update it, or remove it first", name).At("name")
	}
	return nil
}

// UpdateApp makes a new revision of an app.
func (d *Desk) UpdateApp(ctx context.Context, c access.Caller, appID string, expect uint64, in api.AppChange, report api.Report) (*model.App, error) {
	old, err := d.app(c, appID)
	if err != nil {
		return nil, err
	}
	in.Name = old.Name
	if len(in.Services) == 0 && in.Source == "" {
		in.Services, in.Source = old.Spec.Services, old.Spec.Source
	}
	dr, err := d.prepare(ctx, c, old.EnvironmentID, in, report)
	if err != nil {
		return nil, err
	}
	return d.revise(ctx, c, old, expect, dr)
}

// revise proposes a draft as the next revision of an app.
func (d *Desk) revise(ctx context.Context, c access.Caller, old *model.App, expect uint64, dr *draft) (*model.App, error) {
	app := *old
	dr.spec.Stopped = old.Spec.Stopped
	app.Spec = dr.spec
	return d.put(ctx, c, app, expect, dr)
}

// pin keeps the images of a spec's services but one.
func pin(spec model.AppSpec, but string) map[string]model.ContainerSpec {
	out := map[string]model.ContainerSpec{}
	for name, s := range spec.Services {
		if name != but {
			out[name] = s.Container
		}
	}
	return out
}

// volumesOf names the volumes that a spec mounts. They were made with it: one
// that is missing by now is said, not silently replaced by an empty one.
func volumesOf(spec model.AppSpec) map[string]bool {
	out := map[string]bool{}
	for _, s := range spec.Services {
		for _, m := range s.Container.Mounts {
			if m.Type == model.MountVolume {
				out[m.Source] = true
			}
		}
	}
	return out
}

// RollbackApp puts a kept revision in force again, as a new one.
func (d *Desk) RollbackApp(ctx context.Context, c access.Caller, appID string, expect, revision uint64, report api.Report) (*model.App, error) {
	old, err := d.app(c, appID)
	if err != nil {
		return nil, err
	}
	view := d.cfg.Store.View()
	if revision == 0 {
		for r := range view.Revisions(old.ID) {
			if r.Number < old.Revision {
				revision = r.Number
			}
		}
		if revision == 0 {
			return nil, model.Errorf(model.KindConflict, "no_revision", "the app %s has no revision before the present one", old.Name)
		}
	}
	r, ok := view.Revision(old.ID, revision)
	if !ok {
		return nil, model.Errorf(model.KindNotFound, "no_revision", "the app %s has no revision %d; `skerry app history %s` lists those that are kept", old.Name, revision, old.Name)
	}
	dr := &draft{name: old.Name, environmentID: old.EnvironmentID, spec: r.Spec, pinned: pin(r.Spec, "")}
	if err := d.finish(ctx, c, dr, volumesOf(old.Spec), api.PullPolicyMissing, report); err != nil {
		return nil, err
	}
	return d.revise(ctx, c, old, expect, dr)
}

// put proposes an app and gives it back as it was applied.
func (d *Desk) put(ctx context.Context, c access.Caller, app model.App, expect uint64, dr *draft) (*model.App, error) {
	ids := map[string]string{}
	for name := range app.Spec.Services {
		ids[name] = command.NewID() // used only for services that do not exist yet
	}
	cmd := &command.PutApp{Head: sign(c), App: app, ExpectVersion: expect, ServiceIDs: ids, Volumes: dr.volumes}
	if err := d.propose(ctx, cmd); err != nil {
		return nil, err
	}
	return d.app(c, app.ID)
}

// UpdateService scales a service or changes what it runs.
func (d *Desk) UpdateService(ctx context.Context, c access.Caller, serviceID string, expect uint64, in api.ServiceChange, report api.Report) (*model.Service, error) {
	view := d.cfg.Store.View()
	s, ok := view.Service(serviceID)
	if !ok || s.TenantID != c.TenantID() {
		return nil, model.Errorf(model.KindNotFound, "not_found", "there is no service %q here", clip(serviceID))
	}
	if expect != command.AnyVersion && expect != s.Version {
		return nil, model.Errorf(model.KindStale, "stale_version", "the service %s has changed since version %d (it is at %d); read it again", s.Name, expect, s.Version)
	}
	if in.Replicas != nil && (*in.Replicas < 0 || *in.Replicas > maxReplicas) {
		return nil, invalid("replicas_invalid", "%d replicas: must be 0 to %d", *in.Replicas, maxReplicas).At("replicas")
	}
	if in.Container == nil && in.Image == "" && in.Ports == nil {
		if in.Replicas != nil {
			if needs := access.HostNeeds(s.Spec.Container); len(needs) > 0 && *in.Replicas > s.Spec.Replicas {
				if err := d.mayReachHost(c, s.Name, needs, s.Spec.Container); err != nil {
					return nil, err
				}
			}
			cmd := &command.SetServiceReplicas{Head: sign(c), ServiceID: s.ID, ExpectVersion: expect, Replicas: *in.Replicas}
			if err := d.propose(ctx, cmd); err != nil {
				return nil, err
			}
		}
		return d.service(serviceID)
	}
	app, err := d.app(c, s.AppID)
	if err != nil {
		return nil, err
	}
	spec := s.Spec
	if in.Container != nil {
		spec.Container = *in.Container
		if spec.Container.Image == "" {
			spec.Container.Image = s.Spec.Container.Image
		}
	}
	if in.Image != "" {
		spec.Container.Image = in.Image
	}
	if in.Ports != nil {
		spec.Ports = *in.Ports
	}
	if in.Replicas != nil {
		spec.Replicas = *in.Replicas
	}
	services := maps.Clone(app.Spec.Services)
	services[s.Name] = spec
	but := s.Name
	if in.Image == "" && in.Pull != api.PullPolicyAlways {
		but = ""
	}
	// The compose text no longer says what runs, so it is left out: the services do.
	dr := &draft{name: app.Name, environmentID: app.EnvironmentID, spec: model.AppSpec{Services: services}, pinned: pin(app.Spec, but)}
	if err := d.finish(ctx, c, dr, volumesOf(app.Spec), in.Pull, report); err != nil {
		return nil, err
	}
	if _, err := d.revise(ctx, c, app, app.Version, dr); err != nil {
		return nil, err
	}
	return d.service(serviceID)
}

func (d *Desk) service(id string) (*model.Service, error) {
	s, ok := d.cfg.Store.View().Service(id)
	if !ok {
		return nil, model.Errorf(model.KindConflict, "service_removed", "the service was removed at the same moment")
	}
	return s, nil
}

// RemoveApp begins the removal of an app.
func (d *Desk) RemoveApp(ctx context.Context, c access.Caller, appID string, expect uint64, opt api.RemoveOptions) error {
	app, err := d.app(c, appID)
	if err != nil {
		return err
	}
	if expect != command.AnyVersion && expect != app.Version {
		return model.Errorf(model.KindStale, "stale_version", "the app %s has changed since version %d (it is at %d); read it again", app.Name, expect, app.Version)
	}
	view := d.cfg.Store.View()
	var cmds []command.Command
	volumes := map[string]bool{}
	for ct := range view.ContainersOfApp(app.ID) {
		if opt.Force && !ct.Assign.Remove {
			cmds = append(cmds, &command.SetIntent{Head: sign(c), ContainerID: ct.ID, Action: command.ActionKill})
		}
	}
	for s := range view.ServicesOf(app.ID) {
		for _, m := range s.Spec.Container.Mounts {
			if m.VolumeID != "" {
				volumes[m.VolumeID] = true
			}
		}
	}
	// The kills come first: a container that is being removed takes no more wishes.
	cmds = append(cmds, &command.RemoveApp{Head: sign(c), ID: app.ID, ExpectVersion: expect})
	res, err := d.cfg.Proposer.Propose(ctx, cmds...)
	if len(res.Outcomes) == len(cmds) {
		// All was judged, and the app's removal is what counts: a container that is
		// on its way out by now takes no kill.
		err = nil
		if refused := res.Outcomes[len(cmds)-1].Err; refused != nil {
			err = refused
		}
	}
	if err != nil {
		return err
	}
	if opt.Volumes && len(volumes) > 0 {
		return d.removeVolumes(ctx, c, app.ID, volumes)
	}
	return nil
}

// removeVolumes waits until the app is gone and deletes the volumes that only
// it used.
func (d *Desk) removeVolumes(ctx context.Context, c access.Caller, appID string, volumes map[string]bool) error {
	const patience = 2 * time.Minute
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	errGone := errors.New("gone")
	err := state.Watch(wait, d.cfg.Store, func(v *state.View) (bool, error) {
		_, there := v.App(appID)
		return there, nil
	}, func(_ context.Context, there bool) error {
		if !there {
			return errGone
		}
		return nil
	})
	if !errors.Is(err, errGone) {
		return model.Errorf(model.KindUnavailable, "volumes_kept", "the app's containers have not ended yet, so its volumes are still there: remove them with `skerry volume rm` later")
	}
	for _, id := range sortedKeys(volumes) {
		err := d.propose(ctx, &command.DeleteVolume{Head: sign(c), ID: id, ExpectVersion: command.AnyVersion})
		switch model.KindOf(err) {
		case model.KindNotFound, model.KindConflict: // another app uses it
		default:
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// RemoveContainer removes one container, and the app with it if it is the only
// one. The removal of one of several replicas makes way for a fresh one.
func (d *Desk) RemoveContainer(ctx context.Context, c access.Caller, id string, expect uint64, force bool) error {
	view := d.cfg.Store.View()
	ct, err := view.FindContainer(state.InTenant(c.TenantID()), id)
	if err != nil {
		return err
	}
	if expect != command.AnyVersion && expect != ct.Version {
		return model.Errorf(model.KindStale, "stale_version", "the container %s has changed since version %d (it is at %d); read it again", ct.Name, expect, ct.Version)
	}
	if !force && ct.Status.Phase == model.PhaseRunning {
		return model.Errorf(model.KindConflict, "container_running", "the container %s is running; stop it first, or remove it with force", ct.Name)
	}
	services, containers := 0, 0
	for range view.ServicesOf(ct.AppID) {
		services++
	}
	for range view.ContainersOfApp(ct.AppID) {
		containers++
	}
	if s, ok := view.Service(ct.ServiceID); services == 1 && containers == 1 && ok && s.Spec.Replicas <= 1 {
		return d.RemoveApp(ctx, c, ct.AppID, command.AnyVersion, api.RemoveOptions{Force: force})
	}
	if force {
		if err := d.propose(ctx, &command.SetIntent{Head: sign(c), ContainerID: ct.ID, Action: command.ActionKill}); err != nil {
			return err
		}
	}
	a := ct.Assign
	a.Remove = true
	return d.propose(ctx, &command.AssignContainers{Head: sign(c), Items: []command.AssignItem{{ID: ct.ID, ExpectVersion: command.AnyVersion, Assign: a}}})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
