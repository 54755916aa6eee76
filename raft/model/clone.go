package model

import (
	"maps"
	"slices"
)

// Clone gives a copy that shares nothing with t.
func (t *Tenant) Clone() *Tenant { c := *t; return &c }

// Clone gives a copy that shares nothing with u.
func (u *User) Clone() *User {
	c := *u
	c.Spec.Tenants = maps.Clone(u.Spec.Tenants)
	return &c
}

// Clone gives a copy that shares nothing with n.
func (n *Node) Clone() *Node {
	c := *n
	c.Blocks = slices.Clone(n.Blocks)
	c.Spec.Labels = maps.Clone(n.Spec.Labels)
	c.PublicKey = slices.Clone(n.PublicKey)
	c.Status.Trusts = slices.Clone(n.Status.Trusts)
	c.Status.Conditions = slices.Clone(n.Status.Conditions)
	return &c
}

// Clone gives a copy that shares nothing with a.
func (a *App) Clone() *App {
	c := *a
	c.Spec = a.Spec.Clone()
	return &c
}

// Clone gives a copy that shares nothing with s.
func (s AppSpec) Clone() AppSpec {
	if s.Services == nil {
		return s
	}
	services := make(map[string]ServiceSpec, len(s.Services))
	for name, svc := range s.Services {
		services[name] = svc.Clone()
	}
	s.Services = services
	return s
}

// Clone gives a copy that shares nothing with s.
func (s *Service) Clone() *Service {
	c := *s
	c.Spec = s.Spec.Clone()
	c.Ports = slices.Clone(s.Ports)
	c.Status.Conditions = slices.Clone(s.Status.Conditions)
	return &c
}

// Clone gives a copy that shares nothing with s.
func (s ServiceSpec) Clone() ServiceSpec {
	s.Container = s.Container.Clone()
	s.Ports = slices.Clone(s.Ports)
	s.Placement.Constraints = slices.Clone(s.Placement.Constraints)
	s.Placement.Affinity = slices.Clone(s.Placement.Affinity)
	s.Placement.AntiAffinity = slices.Clone(s.Placement.AntiAffinity)
	return s
}

// Clone gives a copy that shares nothing with c.
func (c *Container) Clone() *Container {
	n := *c
	n.Spec = c.Spec.Clone()
	n.Status = c.Status.Clone()
	return &n
}

// Clone gives a copy that shares nothing with s.
func (s ContainerSpec) Clone() ContainerSpec {
	s.Entrypoint = slices.Clone(s.Entrypoint)
	s.Command = slices.Clone(s.Command)
	s.Env = slices.Clone(s.Env)
	s.Labels = maps.Clone(s.Labels)
	s.CapAdd = slices.Clone(s.CapAdd)
	s.CapDrop = slices.Clone(s.CapDrop)
	s.Mounts = slices.Clone(s.Mounts)
	return s
}

// Clone gives a copy that shares nothing with s.
func (s ContainerStatus) Clone() ContainerStatus {
	if s.ExitCode != nil {
		code := *s.ExitCode
		s.ExitCode = &code
	}
	s.Conditions = slices.Clone(s.Conditions)
	return s
}

// Clone gives a copy that shares nothing with v.
func (v *Volume) Clone() *Volume {
	c := *v
	c.Spec.Labels = maps.Clone(v.Spec.Labels)
	return &c
}

// Clone gives a copy that shares nothing with i.
func (i *Image) Clone() *Image {
	c := *i
	c.Platforms = slices.Clone(i.Platforms)
	c.NodeIDs = slices.Clone(i.NodeIDs)
	return &c
}

// Clone gives a copy that shares nothing with r.
func (r *Repository) Clone() *Repository {
	c := *r
	c.Spec.Labels = maps.Clone(r.Spec.Labels)
	return &c
}

// Clone gives a copy that shares nothing with d.
func (d Descriptor) Clone() Descriptor {
	d.Annotations = maps.Clone(d.Annotations)
	return d
}

// Clone gives a copy that shares nothing with m.
func (m *Manifest) Clone() *Manifest {
	c := *m
	c.Descriptor = m.Descriptor.Clone()
	c.Refs = slices.Clone(m.Refs)
	for i := range c.Refs {
		c.Refs[i] = c.Refs[i].Clone()
	}
	return &c
}

// Clone gives a copy that shares nothing with u.
func (u *Upstream) Clone() *Upstream {
	c := *u
	c.Spec.Endpoints, c.Spec.TenantIDs = slices.Clone(u.Spec.Endpoints), slices.Clone(u.Spec.TenantIDs)
	c.Password = slices.Clone(u.Password)
	return &c
}
