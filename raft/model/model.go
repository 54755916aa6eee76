// Package model holds the nouns of Skerry: what a cluster knows, as plain
// values. It imports nothing of ours and does nothing by itself; raft/state
// stores these values, raft/command changes them, everything else reads them.
//
// One writer each: a Spec is written by a user, an Assignment by the leader's
// control loops, a Status by the agent of the node that runs the object.
//
// Values handed out by raft/state are shared and must not be changed: Clone,
// change the copy, and propose it.
package model

import (
	"net/netip"
	"time"
)

// Meta is what every object carries.
type Meta struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Version   uint64    `json:"version"` // raft index of the last change; compare-and-set works on it
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// DefaultTenant is the name of the tenant that init creates. It owns what the
// local administrator makes without naming a tenant.
const DefaultTenant = "default"

// DefaultEnvironment is the name of the shared pool that init creates.
const DefaultEnvironment = "default"

// Cluster is the single row of cluster-wide settings, written at init.
type Cluster struct {
	ID           string       `json:"id"`
	Version      uint64       `json:"version"`
	CreatedAt    time.Time    `json:"createdAt"`
	FeatureLevel uint64       `json:"featureLevel"`
	Pool         netip.Prefix `json:"pool"`    // container addresses, handed to nodes in /26 blocks
	VIPPool      netip.Prefix `json:"vipPool"` // service addresses
	PortMin      uint16       `json:"portMin"` // ports the platform allocates itself, inclusive
	PortMax      uint16       `json:"portMax"`
	CACert       []byte       `json:"caCert"`              // PEM
	CAKey        Sealed       `json:"caKey"`               // PEM, sealed
	Rotation     *Rotation    `json:"rotation,omitempty"`  // nil: the authority is not being replaced
	// Generation rises when a lost quorum is recovered: nodes obey the highest
	// they have seen and turn away those of an earlier one. The first is 1.
	Generation uint64 `json:"generation,omitempty"`
	SetupHash    []byte       `json:"setupHash,omitempty"` // sha256 of the one-time setup token; empty once used
	// Certificate is what people had made for the control plane's port; nil: the
	// cluster's own authority issues it.
	Certificate *ServerCertificate `json:"certificate,omitempty"`
}

// ServerCertificate is an uploaded certificate for the control plane's port.
type ServerCertificate struct {
	Chain    []byte    `json:"chain"` // PEM, the server's own first
	Key      Sealed    `json:"key"`   // PEM, sealed
	NotAfter time.Time `json:"notAfter"`
	Names    []string  `json:"names"`
	// Warned is the lowest number of days before the end at which a warning was
	// given; 0: none yet. -1: its end itself was told.
	Warned int `json:"warned,omitempty"`
}

// Tenant is a department or a team: it owns everything below it.
type Tenant struct {
	Meta
	Spec TenantSpec `json:"spec"`
}

// TenantSpec is what an administrator says about a tenant.
type TenantSpec struct {
	DisplayName string `json:"displayName,omitempty"`
}

// Environment is a set of nodes; apps of one never meet apps of another.
type Environment struct {
	Meta
}

// Node is one host.
type Node struct {
	Meta
	EnvironmentID string         `json:"environmentId"`
	Blocks        []netip.Prefix `json:"blocks,omitempty"` // the parts of the pool its containers live in, /26 each; written by the leader
	Role          NodeRole       `json:"role,omitempty"`      // empty means member; written when it joins
	PublicKey     []byte         `json:"publicKey,omitempty"` // PKIX DER; the node's identity, whatever its address; written when it joins
	Health        NodeHealth     `json:"health,omitzero"`     // written by the leader
	Spec          NodeSpec       `json:"spec"`
	Status        NodeStatus     `json:"status"`
}

// NodeSpec is what an administrator says about a node.
type NodeSpec struct {
	Labels       map[string]string `json:"labels,omitempty"`
	Availability Availability      `json:"availability,omitempty"`
	Suffrage     Suffrage          `json:"suffrage,omitempty"` // members only
}

// NodeStatus is what the node says about itself, on change only.
type NodeStatus struct {
	Ready         bool        `json:"ready"`
	Address       string      `json:"address"` // host:port of its control plane
	SkerryVersion string      `json:"skerryVersion"`
	EngineVersion string      `json:"engineVersion"`
	OS            string      `json:"os"`
	Kernel        string      `json:"kernel"`
	Architecture  string      `json:"architecture"`
	CPUs          int         `json:"cpus"` // logical cores
	MemoryBytes   int64       `json:"memoryBytes"`
	Authority     string      `json:"authority,omitempty"` // fingerprint of the authority that issued its certificate
	Trusts        []string    `json:"trusts,omitempty"`    // fingerprints of the authorities that it trusts, sorted
	Conditions    []Condition `json:"conditions,omitempty"`
}

// Condition says why an object is not as asked: a reason code for machines, a
// sentence for people. An object that is as asked has none.
type Condition struct {
	Type    string    `json:"type"`   // e.g. "Ready", "Network", "Disk"
	Reason  string    `json:"reason"` // e.g. "ImageNotFound"
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// Event is one thing that happened, in words, kept in a bounded table.
type Event struct {
	Seq      uint64    `json:"seq"` // raft index * 1024 + position; rising, never reused
	Time     time.Time `json:"time"`
	TenantID string    `json:"tenantId,omitempty"`
	Kind     string    `json:"kind"` // object kind: app, service, container, image, repository, volume, node, user
	ObjectID string    `json:"objectId"`
	Object   string    `json:"object"` // its name at that time
	AppID    string    `json:"appId,omitempty"`
	Reason   string    `json:"reason"`
	Message  string    `json:"message"`
	Warning  bool      `json:"warning,omitempty"`
}
