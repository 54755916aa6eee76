package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// findService finds a service in scope by id, by "app.service", or by its own
// name where only one app has it.
func findService(v *state.View, scope state.Scope, ref string) (*model.Service, error) {
	if svc, ok := v.Service(ref); ok && scope.Covers(svc.TenantID) {
		return svc, nil
	}
	if appRef, name, ok := strings.Cut(ref, "."); ok {
		if a, err := v.FindApp(scope, appRef); err == nil {
			if svc, ok := v.ServiceByName(a.ID, name); ok {
				return svc, nil
			}
		}
	}
	l, err := v.ListServices(scope, state.Page{Limit: 2}, func(svc *model.Service) bool { return svc.Name == ref })
	if err != nil {
		return nil, err
	}
	switch len(l.Items) {
	case 1:
		return l.Items[0], nil
	case 0:
		return nil, notFound("service", ref)
	default:
		return nil, model.Errorf(model.KindConflict, "name_ambiguous", "the apps %q and %q both have a service %q; write %s.%s",
			l.Items[0].AppName, l.Items[1].AppName, ref, l.Items[0].AppName, ref)
	}
}

// appFilter says which objects belong to the app that a listing names.
func appFilter(r *request, ref string) (func(appID string) bool, error) {
	if ref == "" {
		return func(string) bool { return true }, nil
	}
	a, err := r.view.FindApp(r.scope, ref)
	if err != nil || !r.sees(a.TenantID) {
		return nil, notFound("app", ref).At("app")
	}
	return func(appID string) bool { return appID == a.ID }, nil
}

// ListServices lists services.
func (s *Server) ListServices(c *gin.Context, q ListServicesParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	inApp, aerr := appFilter(r, q.App)
	if err == nil {
		err = aerr
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListServices(r.scope, p, func(o *model.Service) bool {
		return r.sees(o.TenantID) && inApp(o.AppID) && strings.Contains(o.Name, q.Name)
	})
	s.reply(c, http.StatusOK, ServiceList{Items: values(l.Items), NextCursor: l.Next}, err)
}

// GetService shows a service.
func (s *Server) GetService(c *gin.Context, ref ServiceRef, _ GetServiceParams) {
	r := of(c)
	svc, err := findService(r.view, r.scope, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusOK, svc.Version, svc)
}

// UpdateService changes one service.
func (s *Server) UpdateService(c *gin.Context, ref ServiceRef, q UpdateServiceParams) {
	var in ServiceUpdate
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	change := ServiceChange{Replicas: in.Replicas, Image: in.Image, Container: in.Container, Pull: in.Pull}
	if in.Ports != nil {
		p := ports(*in.Ports)
		change.Ports = &p
	}
	if change == (ServiceChange{Pull: in.Pull}) && in.Pull != PullPolicyAlways {
		s.fail(c, invalid("nothing_to_change", "the body changes nothing; give replicas, image, container or ports"))
		return
	}
	caller := of(c).caller
	s.changeService(c, ref, q.IfMatch, q.Wait, func(ctx context.Context, svc *model.Service, version uint64, report Report) error {
		_, err := s.ops.UpdateService(ctx, caller, svc.ID, version, change, report)
		return err
	})
}

// changeService finds a service, runs a change of it, waits if asked, and
// renders the service as it is then.
func (s *Server) changeService(c *gin.Context, ref, ifMatch string, wait int, run func(context.Context, *model.Service, uint64, Report) error) {
	r, ctx := of(c), c.Request.Context()
	version, err := expect(ifMatch)
	if err == nil {
		err = checkWait(wait)
	}
	svc, ferr := findService(r.view, r.scope, ref)
	if err == nil {
		err = ferr
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.work(c, http.StatusOK, func(report Report) (any, error) {
		if err := run(ctx, svc, version, report); err != nil {
			return nil, err
		}
		return s.waitService(ctx, svc.ID, wait)
	})
}

// waitService waits until the containers of a service are as asked.
func (s *Server) waitService(ctx context.Context, id string, wait int) (*model.Service, error) {
	type seen struct {
		svc     *model.Service
		settled bool
	}
	read := func(v *state.View) (seen, error) {
		svc, ok := v.Service(id)
		if !ok {
			return seen{}, notFound("service", id)
		}
		a, ok := v.App(svc.AppID)
		t := &tally{}
		t.add(v, svc, ok && a.Spec.Stopped)
		phase, _ := t.phase(svc.Removing)
		return seen{svc, settled(phase) && t.ending == 0}, nil
	}
	if wait == 0 {
		now, err := read(s.cluster.View())
		return now.svc, err
	}
	last, err := until(ctx, s, wait, read, func(x seen) bool { return x.settled })
	return last.svc, err
}

// StopService stops the containers of a service.
func (s *Server) StopService(c *gin.Context, ref ServiceRef, q StopServiceParams) {
	s.haltService(c, ref, q.IfMatch, q.Wait, true)
}

// StartService starts a stopped service.
func (s *Server) StartService(c *gin.Context, ref ServiceRef, q StartServiceParams) {
	s.haltService(c, ref, q.IfMatch, q.Wait, false)
}

func (s *Server) haltService(c *gin.Context, ref, ifMatch string, wait int, stopped bool) {
	head := command.By(of(c).caller.Origin)
	s.changeService(c, ref, ifMatch, wait, func(ctx context.Context, svc *model.Service, version uint64, _ Report) error {
		if _, err := s.cluster.Propose(ctx, &command.SetServiceStopped{Head: head, ServiceID: svc.ID, ExpectVersion: version, Stopped: stopped}); err != nil {
			return fmt.Errorf("stop or start service %s: %w", svc.Name, err)
		}
		return nil
	})
}
