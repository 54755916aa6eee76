package command

import "github.com/skerryhq/skerry/raft/model"

// InitCluster makes the cluster: its settings, the default tenant, the default
// environment, the first node and the images that come with the product. It is
// refused with code "already_initialized" if there is a cluster.
type InitCluster struct {
	Head
	Cluster     model.Cluster     `json:"cluster"`
	Tenant      model.Tenant      `json:"tenant"`
	Environment model.Environment `json:"environment"`
	Node        model.Node        `json:"node"`
	Images      []model.Image     `json:"images,omitempty"` // of the default tenant unless they name one
}

// Type is TypeInitCluster.
func (*InitCluster) Type() Type { return TypeInitCluster }

// Refs names the cluster.
func (c *InitCluster) Refs() []Ref { return []Ref{{Kind: "cluster", ID: c.Cluster.ID}} }

// RaiseLevel raises the cluster's feature level; a lower or equal level is
// refused with code "level_not_raised".
type RaiseLevel struct {
	Head
	Level uint64 `json:"level"`
}

// Type is TypeRaiseLevel.
func (*RaiseLevel) Type() Type { return TypeRaiseLevel }

// Refs names nothing: the level belongs to the cluster.
func (*RaiseLevel) Refs() []Ref { return nil }

// AuditOnly changes nothing; it puts things that happened (refused sign-ins,
// sensitive reads) into the audit of every member. One command may carry many.
type AuditOnly struct {
	Head
	Entries []AuditEntry `json:"entries"`
}

// AuditEntry is one thing that happened.
type AuditEntry struct {
	Origin  model.Origin `json:"origin"`
	Action  string       `json:"action"` // e.g. "login.refused", "container.exec"
	Objects []Ref        `json:"objects,omitempty"`
	Code    string       `json:"code,omitempty"`   // as in model.Error; empty means it was allowed
	Detail  string       `json:"detail,omitempty"` // one sentence; may be empty
}

// Type is TypeAuditOnly.
func (*AuditOnly) Type() Type { return TypeAuditOnly }

// Refs names nothing: each entry names its own objects.
func (*AuditOnly) Refs() []Ref { return nil }
