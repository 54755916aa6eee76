package state

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// MaxRevisions is how many revisions of an app are kept.
const MaxRevisions = 50

func (t *tx) putApp(c *command.PutApp) *model.Error {
	old, exists := t.v.App(c.App.ID)
	if err := expect(metaOf(apps, old, exists), c.ExpectVersion, "app", c.App.ID); err != nil {
		return err
	}
	n := c.App
	n.Spec = c.App.Spec.Clone() // volume ids are filled in below; the command stays as it came
	if exists {
		if err := checkSameApp(old, &n); err != nil {
			return err
		}
		n.Meta, n.TenantID, n.EnvironmentID, n.Revision, n.Removing = old.Meta, old.TenantID, old.EnvironmentID, old.Revision, false
	} else {
		if err := t.checkNewApp(&n); err != nil {
			return err
		}
		n.Revision, n.Removing = 0, false
	}
	if err := t.resolveVolumes(&n, c.Volumes); err != nil {
		return err
	}
	revised := !exists || !sameSpec(old.Spec, n.Spec)
	if revised {
		n.Revision++
	}
	if exists {
		t.updated(&n.Meta)
		t.replace(tabApps, old, &n)
	} else {
		t.created(&n.Meta)
		t.create(tabApps, &n)
	}
	if revised {
		t.addRevision(&n)
	}
	if err := t.putServices(&n, c.ServiceIDs); err != nil {
		return err
	}
	if revised {
		t.event(model.Event{TenantID: n.TenantID, Kind: "app", ObjectID: n.ID, Object: n.Name, AppID: n.ID, Reason: "Deployed",
			Message: fmt.Sprintf("app %s was deployed by %s as revision %d: %s", n.Name, t.origin.Actor, n.Revision, summary(n.Spec))})
	}
	return nil
}

// summary names services and replicas, e.g. "db x1, web x3".
func summary(s model.AppSpec) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		parts = append(parts, fmt.Sprintf("%s x%d", name, s.Services[name].Replicas))
	}
	if len(parts) == 0 {
		return "no services"
	}
	return strings.Join(parts, ", ")
}

// sameSpec compares specs but for Stopped, which makes no revision.
func sameSpec(a, b model.AppSpec) bool {
	a.Stopped, b.Stopped = false, false
	return reflect.DeepEqual(a, b)
}

func appRemoving(name string) *model.Error {
	return model.Errorf(model.KindConflict, "app_removing", "app %s is being removed; wait until it is gone", name)
}

// checkSameApp refuses what cannot change in an app.
func checkSameApp(old, n *model.App) *model.Error {
	switch {
	case old.Removing:
		return appRemoving(old.Name)
	case n.Name != old.Name:
		return model.Errorf(model.KindInvalid, "name_fixed", "app %s keeps its name; deploy it anew under another", old.Name).At("name")
	case n.TenantID != "" && n.TenantID != old.TenantID:
		return model.Errorf(model.KindInvalid, "tenant_fixed", "app %s stays with its tenant", old.Name).At("tenantId")
	case n.EnvironmentID != "" && n.EnvironmentID != old.EnvironmentID:
		return model.Errorf(model.KindInvalid, "environment_fixed", "app %s stays in its environment; remove it and deploy it in the other", old.Name).At("environmentId")
	}
	return nil
}

func (t *tx) checkNewApp(n *model.App) *model.Error {
	if err := checkID(n.ID, "app"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	if _, ok := t.v.Tenant(n.TenantID); !ok {
		return notFound("tenant", n.TenantID).At("tenantId")
	}
	if _, ok := t.v.Environment(n.EnvironmentID); !ok {
		return notFound("environment", n.EnvironmentID).At("environmentId")
	}
	if other, taken := t.v.AppByName(n.TenantID, n.Name); taken {
		if other.Removing {
			return model.Errorf(model.KindConflict, "name_taken", "the app %s that had this name is still being removed; wait a moment and try again", other.Name).At("name")
		}
		return nameTaken("app", n.Name, "")
	}
	return nil
}

// resolveVolumes fills in the ids of the volumes that mounts name and makes
// those that do not exist yet.
func (t *tx) resolveVolumes(app *model.App, fresh []model.Volume) *model.Error {
	for _, name := range slices.Sorted(maps.Keys(app.Spec.Services)) {
		mounts := app.Spec.Services[name].Container.Mounts // a copy of our own
		for i := range mounts {
			m := &mounts[i]
			if m.Type != model.MountVolume {
				m.VolumeID = ""
				continue
			}
			id, err := t.volumeFor(app, m, fresh)
			if err != nil {
				return err.At(fmt.Sprintf("spec.services.%s.container.mounts[%d]", name, i))
			}
			m.VolumeID = id
		}
	}
	return nil
}

// volumeFor finds or makes the volume that a mount names.
func (t *tx) volumeFor(app *model.App, m *model.Mount, fresh []model.Volume) (string, *model.Error) {
	if m.Source == "" {
		if v, ok := t.v.Volume(m.VolumeID); ok && v.TenantID == app.TenantID {
			m.Source = v.Name
			return v.ID, nil
		}
		return "", model.Errorf(model.KindInvalid, "volume_missing", "this mount names no volume")
	}
	if v, ok := t.v.VolumeByName(app.TenantID, m.Source); ok {
		return v.ID, nil
	}
	i := slices.IndexFunc(fresh, func(v model.Volume) bool { return v.Name == m.Source })
	if i < 0 {
		return "", model.Errorf(model.KindInvalid, "volume_missing", "there is no volume %q; make it first with `skerry volume create`", m.Source)
	}
	n := fresh[i]
	n.TenantID = app.TenantID
	if err := t.createVolume(&n); err != nil {
		return "", err
	}
	return n.ID, nil
}

// addRevision keeps the spec in force and forgets the oldest beyond
// MaxRevisions.
func (t *tx) addRevision(app *model.App) {
	t.create(tabRevisions, &model.Revision{AppID: app.ID, Number: app.Revision, Spec: app.Spec, CreatedAt: t.now, Actor: t.origin.Actor})
	kept := collect(t.v.Revisions(app.ID))
	for _, r := range kept[:max(0, len(kept)-MaxRevisions)] {
		t.del(tabRevisions, r)
	}
}

// putServices brings an app's services and ports into line with its spec.
func (t *tx) putServices(app *model.App, ids map[string]string) *model.Error {
	for _, s := range collect(t.v.ServicesOf(app.ID)) {
		if _, wanted := app.Spec.Services[s.Name]; !wanted {
			t.retireService(s)
		}
	}
	names := slices.Sorted(maps.Keys(app.Spec.Services))
	var now []*model.Service
	for _, name := range names {
		s, err := t.putService(app, name, ids[name])
		if err != nil {
			return err
		}
		now = append(now, s)
	}
	return t.assignPorts(app, now)
}

// putService writes one service, without its ports.
func (t *tx) putService(app *model.App, name, id string) (*model.Service, *model.Error) {
	if err := checkName(name); err != nil {
		return nil, err.At("spec.services." + name)
	}
	spec := app.Spec.Services[name]
	if spec.Replicas < 0 {
		return nil, model.Errorf(model.KindInvalid, "replicas_invalid", "service %s asks for %d replicas; 0 is the least", name, spec.Replicas).At("spec.services." + name + ".replicas")
	}
	old, ok := t.v.ServiceByName(app.ID, name)
	if !ok {
		if err := checkID(id, "service"); err != nil {
			return nil, err
		}
		if _, used := t.v.Service(id); used {
			return nil, model.Errorf(model.KindConflict, "already_exists", "the id of service %s is in use; repeat the change", name)
		}
		n := &model.Service{Meta: model.Meta{ID: id, Name: name}, TenantID: app.TenantID, EnvironmentID: app.EnvironmentID,
			AppID: app.ID, AppName: app.Name, Revision: app.Revision, Spec: spec}
		t.created(&n.Meta)
		t.create(tabServices, n)
		return n, nil
	}
	n := *old
	if old.Removing || !reflect.DeepEqual(old.Spec.Container, spec.Container) {
		n.Revision = app.Revision
	}
	if !old.Removing && reflect.DeepEqual(old.Spec, spec) {
		return old, nil
	}
	n.Spec, n.Removing = spec, false
	t.updated(&n.Meta)
	t.replace(tabServices, old, &n)
	return &n, nil
}

// retireService takes a service out of its app: its ports are free at once, its
// row goes with its last container.
func (t *tx) retireService(s *model.Service) {
	t.freePorts(s.ID)
	if !t.v.hasContainers(s.ID) {
		t.del(tabServices, s)
		return
	}
	n := *s
	n.Removing, n.Ports = true, nil
	t.updated(&n.Meta)
	t.replace(tabServices, s, &n)
}

func (t *tx) removeApp(c *command.RemoveApp) *model.Error {
	old, ok := t.v.App(c.ID)
	if err := expectThere(metaOf(apps, old, ok), c.ExpectVersion, "app", c.ID); err != nil {
		return err
	}
	if old.Removing {
		return nil
	}
	n := *old
	n.Removing = true
	t.updated(&n.Meta)
	t.replace(tabApps, old, &n)
	for _, s := range collect(t.v.ServicesOf(n.ID)) {
		k := *s
		k.Removing = true
		t.updated(&k.Meta)
		t.replace(tabServices, s, &k)
	}
	t.event(model.Event{TenantID: n.TenantID, Kind: "app", ObjectID: n.ID, Object: n.Name, AppID: n.ID, Reason: "Removing",
		Message: "app " + n.Name + " is being removed by " + t.origin.Actor})
	t.sweepApp(n.ID)
	return nil
}

// sweepService deletes a service that is on its way out and has no containers.
func (t *tx) sweepService(id string) {
	s, ok := t.v.Service(id)
	if !ok || !s.Removing {
		return
	}
	if t.v.hasContainers(id) {
		return
	}
	t.freePorts(id)
	t.del(tabServices, s)
}

// sweepApp deletes an app that is on its way out and has no containers, with
// its services, ports and revisions.
func (t *tx) sweepApp(id string) {
	a, ok := t.v.App(id)
	if !ok || !a.Removing {
		return
	}
	for s := range t.v.ServicesOf(id) {
		if t.v.hasContainers(s.ID) {
			return
		}
	}
	for _, s := range collect(t.v.ServicesOf(id)) {
		t.freePorts(s.ID)
		t.del(tabServices, s)
	}
	for _, r := range collect(t.v.Revisions(id)) {
		t.del(tabRevisions, r)
	}
	t.del(tabApps, a)
	t.event(model.Event{TenantID: a.TenantID, Kind: "app", ObjectID: a.ID, Object: a.Name, AppID: a.ID, Reason: "Removed",
		Message: "app " + a.Name + " is gone; its ports are free again"})
}

func (t *tx) setAppStopped(c *command.SetAppStopped) *model.Error {
	old, ok := t.v.App(c.ID)
	if err := expectThere(metaOf(apps, old, ok), c.ExpectVersion, "app", c.ID); err != nil {
		return err
	}
	if old.Removing {
		return appRemoving(old.Name)
	}
	if !c.Stopped {
		for _, s := range collect(t.v.ServicesOf(old.ID)) {
			t.startService(s)
		}
	}
	if old.Spec.Stopped == c.Stopped {
		return nil
	}
	n := *old
	n.Spec.Stopped = c.Stopped
	t.updated(&n.Meta)
	t.replace(tabApps, old, &n)
	e := model.Event{TenantID: n.TenantID, Kind: "app", ObjectID: n.ID, Object: n.Name, AppID: n.ID, Reason: "Started",
		Message: "app " + n.Name + " was started by " + t.origin.Actor}
	if c.Stopped {
		e.Reason, e.Message = "Stopped", "app "+n.Name+" was stopped by "+t.origin.Actor
	}
	t.event(e)
	return nil
}

// startService takes back every stop that was asked of a service and its
// containers.
func (t *tx) startService(s *model.Service) {
	if s.Stopped {
		n := *s
		n.Stopped = false
		t.updated(&n.Meta)
		t.replace(tabServices, s, &n)
	}
	for _, c := range collect(t.v.ContainersOfService(s.ID)) {
		t.start(c)
	}
}

func (t *tx) service(id string, expected uint64) (*model.Service, *model.Error) {
	s, ok := t.v.Service(id)
	if err := expectThere(metaOf(services, s, ok), expected, "service", id); err != nil {
		return nil, err
	}
	if s.Removing {
		return nil, serviceRemoving(s)
	}
	return s, nil
}

func serviceRemoving(s *model.Service) *model.Error {
	return model.Errorf(model.KindConflict, "service_removing", "service %s of app %s is being removed", s.Name, s.AppName)
}

func (t *tx) setServiceReplicas(c *command.SetServiceReplicas) *model.Error {
	old, err := t.service(c.ServiceID, c.ExpectVersion)
	if err != nil {
		return err
	}
	if c.Replicas < 0 {
		return model.Errorf(model.KindInvalid, "replicas_invalid", "%d replicas cannot be; 0 is the least", c.Replicas).At("replicas")
	}
	if old.Spec.Replicas == c.Replicas {
		return nil
	}
	app, ok := t.v.App(old.AppID)
	if !ok {
		return notFound("app", old.AppID)
	}
	a := *app
	a.Spec.Services = maps.Clone(app.Spec.Services)
	spec := a.Spec.Services[old.Name]
	spec.Replicas = c.Replicas
	a.Spec.Services[old.Name] = spec
	a.Revision++
	t.updated(&a.Meta)
	t.replace(tabApps, app, &a)
	t.addRevision(&a)
	n := *old
	n.Spec.Replicas = c.Replicas
	t.updated(&n.Meta)
	t.replace(tabServices, old, &n)
	t.event(model.Event{TenantID: n.TenantID, Kind: "service", ObjectID: n.ID, Object: n.Name, AppID: n.AppID, Reason: "Scaled",
		Message: fmt.Sprintf("service %s of app %s was scaled from %d to %d by %s", n.Name, n.AppName, old.Spec.Replicas, c.Replicas, t.origin.Actor)})
	return nil
}

func (t *tx) setServiceStopped(c *command.SetServiceStopped) *model.Error {
	old, err := t.service(c.ServiceID, c.ExpectVersion)
	if err != nil {
		return err
	}
	e := model.Event{TenantID: old.TenantID, Kind: "service", ObjectID: old.ID, Object: old.Name, AppID: old.AppID, Reason: "Started",
		Message: fmt.Sprintf("service %s of app %s was started by %s", old.Name, old.AppName, t.origin.Actor)}
	switch {
	case !c.Stopped:
		t.startService(old)
	case !old.Stopped:
		n := *old
		n.Stopped = true
		t.updated(&n.Meta)
		t.replace(tabServices, old, &n)
		e.Reason, e.Message = "Stopped", fmt.Sprintf("service %s of app %s was stopped by %s", old.Name, old.AppName, t.origin.Actor)
	}
	if old.Stopped != c.Stopped {
		t.event(e)
	}
	return nil
}

func (t *tx) setServiceStatus(c *command.SetServiceStatus) *model.Error {
	old, ok := t.v.Service(c.ServiceID)
	if !ok {
		return notFound("service", c.ServiceID)
	}
	n := *old
	n.Status.Conditions = c.Conditions
	t.replace(tabServices, old, &n)
	return nil
}
