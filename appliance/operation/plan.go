package operation

import (
	"context"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/compose"
	"github.com/skerryhq/skerry/appliance/deploy"
	"github.com/skerryhq/skerry/raft/model"
)

// ComposeSchema is the JSON schema of the compose text that is accepted.
func (d *Desk) ComposeSchema() ([]byte, error) { return compose.Schema() }

// PlanApp says what CreateApp or, where an app of that name is there, UpdateApp
// would do. Nothing is changed and no image is fetched.
func (d *Desk) PlanApp(ctx context.Context, c access.Caller, in api.AppChange) (*api.AppPlan, error) {
	dr := &draft{missing: map[string]string{}}
	in.Pull = api.PullPolicyNever
	if err := d.fill(ctx, c, dr, in, func(api.Progress) {}); err != nil {
		return nil, err
	}
	remarks, err := d.remarks(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if err := checkAppName("app", dr.name); err != nil {
		return nil, err
	}
	view := d.cfg.Store.View()
	out := &api.AppPlan{Name: dr.name, Action: api.PlanActionCreate, Services: []api.PlanService{}, Problems: remarks}
	old, exists := view.AppByName(c.TenantID(), dr.name)
	if exists && old.Removing {
		return nil, model.Errorf(model.KindConflict, "name_taken", "the app %s is just being removed; try again in a moment", dr.name).At("name")
	}
	before := map[string]model.ServiceSpec{}
	if exists {
		out.Action = api.PlanActionKeep
		before = old.Spec.Services
	}
	containers := map[string]int{}
	if exists {
		for ct := range view.ContainersOfApp(old.ID) {
			if !ct.Assign.Remove {
				containers[ct.ServiceName]++
			}
		}
	}
	for _, name := range sortedKeys(dr.spec.Services) {
		was, there := before[name]
		s := planService(name, was, dr.spec.Services[name], there, containers[name])
		s.ImageToFetch = dr.missing[name]
		out.Services = append(out.Services, s)
	}
	for _, name := range sortedKeys(before) {
		if _, stays := dr.spec.Services[name]; !stays {
			out.Services = append(out.Services, api.PlanService{Name: name, Action: api.PlanActionRemove, ContainersBefore: containers[name]})
		}
	}
	for _, s := range out.Services {
		if exists && s.Action != api.PlanActionKeep {
			out.Action = api.PlanActionUpdate
		}
	}
	for _, v := range dr.volumes {
		if _, there := view.VolumeByName(c.TenantID(), v.Name); !there {
			out.VolumesCreated = append(out.VolumesCreated, v.Name)
		}
	}
	if exists {
		used := volumesOf(dr.spec)
		for _, name := range sortedKeys(volumesOf(old.Spec)) {
			if !used[name] {
				out.VolumesUnused = append(out.VolumesUnused, name)
			}
		}
	}
	return out, nil
}

// remarks are what a person should know of a compose text that is accepted.
func (d *Desk) remarks(ctx context.Context, c access.Caller, in api.AppChange) ([]api.ComposeProblem, error) {
	if in.Source == "" || len(in.Services) > 0 {
		return nil, nil
	}
	parsed, err := d.ParseCompose(ctx, c, api.ComposeInput{Source: in.Source, Name: in.Name, Env: in.Env, Files: in.Files})
	if err != nil {
		return nil, err
	}
	return parsed.Problems, nil
}

// planService compares a service as it is with what it is to become.
func planService(name string, was, is model.ServiceSpec, there bool, containers int) api.PlanService {
	out := api.PlanService{Name: name, Action: api.PlanActionCreate, ContainersBefore: containers, ContainersAfter: is.Replicas}
	if !there {
		return out
	}
	differ := deploy.Difference(was, is)
	for _, f := range differ {
		out.Fields = append(out.Fields, api.PlanField{Path: f.Path, Before: f.Before, After: f.After})
	}
	switch {
	case len(differ) == 0:
		out.Action = api.PlanActionKeep
	case deploy.Replaces(was, is):
		out.Action, out.ContainersReplaced = api.PlanActionReplace, min(containers, is.Replicas)
	default:
		out.Action = api.PlanActionUpdate
	}
	return out
}
