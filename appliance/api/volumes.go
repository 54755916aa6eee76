package api

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// usageTimeout bounds how long a listing waits for the size of one volume.
const usageTimeout = 2 * time.Second

var volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// volume is a volume with who uses it; its size is left to measureVolume.
func volume(v *state.View, o *model.Volume) Volume {
	out := Volume{ID: o.ID, Name: o.Name, Version: o.Version, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
		TenantID: o.TenantID, NodeID: o.NodeID, Spec: o.Spec, Status: VolumeStatus{UsedBy: []UsedBy{}}}
	for svc := range v.ServicesOfVolume(o.ID) {
		out.Status.UsedBy = append(out.Status.UsedBy, UsedBy{Kind: "service", ID: svc.ID, Name: svc.Name, AppName: svc.AppName})
	}
	for ct := range v.ContainersOfVolume(o.ID) {
		out.Status.UsedBy = append(out.Status.UsedBy, UsedBy{Kind: "container", ID: ct.ID, Name: ct.Name, AppName: ct.AppName})
	}
	return out
}

// measureVolume fills in the size where the node can say it in time.
func (s *Server) measureVolume(ctx context.Context, o *model.Volume, out *Volume) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	if n, err := s.runtime.VolumeUsage(ctx, o); err == nil {
		out.Status.UsedBytes = &n
	}
}

// ListVolumes lists volumes.
func (s *Server) ListVolumes(c *gin.Context, q ListVolumesParams) {
	r := of(c)
	p, err := page(q.Limit, q.Cursor)
	if err != nil {
		s.fail(c, err)
		return
	}
	l, err := r.view.ListVolumes(r.scope, p, func(o *model.Volume) bool { return r.sees(o.TenantID) && strings.Contains(o.Name, q.Name) })
	out := VolumeList{Items: make([]Volume, len(l.Items)), NextCursor: l.Next}
	ctx, cancel := context.WithTimeout(c.Request.Context(), usageTimeout)
	defer cancel()
	for i, o := range l.Items {
		out.Items[i] = volume(r.view, o)
		s.measureVolume(ctx, o, &out.Items[i])
	}
	s.reply(c, http.StatusOK, out, err)
}

// CreateVolume makes a volume.
func (s *Server) CreateVolume(c *gin.Context, _ CreateVolumeParams) {
	var in VolumeInput
	if err := decode(c, &in); err != nil {
		s.fail(c, err)
		return
	}
	r := of(c)
	o, err := newVolume(r, in)
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.PutVolume{Head: command.By(r.caller.Origin), Volume: o, ExpectVersion: command.MustNotExist})
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	now := s.cluster.View()
	made, err := now.FindVolume(r.scope, o.ID)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.object(c, http.StatusCreated, made.Version, volume(now, made))
}

func newVolume(r *request, in VolumeInput) (model.Volume, error) {
	o := model.Volume{Meta: model.Meta{ID: command.NewID(), Name: in.Name}, TenantID: r.caller.TenantID(), Spec: in.Spec}
	switch {
	case in.Name == "":
		return o, invalid("name_missing", "the volume has no name; give one").At("name")
	case !volumeName.MatchString(in.Name):
		return o, invalid("name_invalid", "%q cannot be the name of a volume; use letters, digits, `_`, `.` and `-`, at most 128", short(in.Name)).At("name")
	case in.Spec.Driver == "":
		o.Spec.Driver = "local"
	case in.Spec.Driver != "local":
		return o, invalid("driver_unknown", "%q is no kind of volume; use local", short(in.Spec.Driver)).At("spec.driver")
	}
	if in.Node == "" {
		return o, nil // its data lives where the first container that mounts it is placed
	}
	n, err := r.view.FindNode(in.Node)
	if err != nil {
		return o, err
	}
	o.NodeID = n.ID
	return o, nil
}

// GetVolume shows a volume.
func (s *Server) GetVolume(c *gin.Context, ref Ref, _ GetVolumeParams) {
	r := of(c)
	o, err := r.view.FindVolume(r.scope, ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	out := volume(r.view, o)
	s.measureVolume(c.Request.Context(), o, &out)
	s.object(c, http.StatusOK, o.Version, out)
}

// DeleteVolume removes a volume that nobody uses.
func (s *Server) DeleteVolume(c *gin.Context, ref Ref, q DeleteVolumeParams) {
	r := of(c)
	version, err := expect(q.IfMatch)
	o, ferr := r.view.FindVolume(r.scope, ref)
	if err == nil {
		err = ferr
	}
	if err == nil {
		_, err = s.cluster.Propose(c.Request.Context(), &command.DeleteVolume{Head: command.By(r.caller.Origin), ID: o.ID, ExpectVersion: version})
	}
	s.replyDone(c, http.StatusNoContent, err)
}

// ListPorts lists published ports by number.
func (s *Server) ListPorts(c *gin.Context, q ListPortsParams) {
	r, all := of(c), []PublishedPort{}
	for p := range r.view.Ports() {
		if !r.scope.Covers(p.TenantID) || !r.sees(p.TenantID) {
			continue
		}
		out := PublishedPort{Protocol: p.Protocol, HostPort: int(p.HostPort), ContainerPort: int(p.Container),
			EnvironmentID: p.EnvironmentID, ServiceID: p.ServiceID, TenantID: p.TenantID}
		if p.HostIP.IsValid() {
			out.HostIP = p.HostIP.String()
		}
		if svc, ok := r.view.Service(p.ServiceID); ok {
			out.ServiceName, out.AppID, out.AppName = svc.Name, svc.AppID, svc.AppName
		}
		all = append(all, out)
	}
	slices.SortStableFunc(all, func(a, b PublishedPort) int { return a.HostPort - b.HostPort })
	items, next, err := paged(all, q.Limit, q.Cursor)
	s.reply(c, http.StatusOK, PortList{Items: items, NextCursor: next}, err)
}
