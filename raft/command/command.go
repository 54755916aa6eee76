// Package command holds every change that the cluster can make to its state,
// as plain values with a number that stays the same for ever.
//
// It owns the types, their numbers and their form on disk. It never decides
// whether a change is allowed and never touches state: raft/state applies
// commands, raft/node proposes them. Everything that differs from node to node
// or from run to run (time, random ids, defaults) is filled in before a command
// is proposed and travels inside it.
//
// Commands are values; a command must not be changed after it was handed to
// Propose.
package command

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// Level is the highest feature level that this binary knows. It rises by one
// with every release that adds a command or changes the meaning of one.
const Level uint64 = 1

// Type is the number of a command. Numbers are append-only: they are on every
// disk.
type Type uint16

// The commands. Never renumber, never reuse.
const (
	TypeInitCluster        Type = 1
	TypeRaiseLevel         Type = 2
	TypeAuditOnly          Type = 3
	TypePutTenant          Type = 10
	TypeDeleteTenant       Type = 11
	TypePutUser            Type = 20
	TypeDeleteUser         Type = 21
	TypeSetPassword        Type = 22
	TypeUseSetupToken      Type = 23
	TypePutAPIToken        Type = 24
	TypeDeleteAPIToken     Type = 25
	TypePutSession         Type = 26
	TypeDeleteSession      Type = 27
	TypeDeleteSessions     Type = 28
	TypePutNode            Type = 40
	TypeSetNodeStatus      Type = 41
	TypeSetNodeHealth      Type = 42
	TypeRemoveNode         Type = 43
	TypeJoinNode           Type = 44
	TypePutJoinToken       Type = 45
	TypeRevokeJoinToken    Type = 46
	TypeEvictContainers    Type = 47
	TypeRotateAuthority    Type = 48
	TypeRaiseGeneration    Type = 49
	TypePutApp             Type = 50
	TypeRemoveApp          Type = 51
	TypeSetAppStopped      Type = 52
	TypeSetServiceReplicas Type = 60
	TypeSetServiceStopped  Type = 61
	TypeSetServiceStatus   Type = 62
	TypeSetIntent          Type = 70
	TypePutContainers      Type = 71
	TypeAssignContainers   Type = 72
	TypeSetContainerStatus Type = 73
	TypeForgetContainers   Type = 74
	TypePutVolume          Type = 80
	TypeDeleteVolume       Type = 81
	TypePutImage           Type = 90
	TypeDeleteImage        Type = 91
	TypePutRepository      Type = 110
	TypeDeleteRepository   Type = 111
	TypePutManifest        Type = 112
	TypePutTag             Type = 113
	TypeDeleteTag          Type = 114
	TypeDeleteManifest     Type = 115
	TypeLinkBlobs          Type = 116
	TypeMountBlob          Type = 117
	TypeUnlinkBlobs        Type = 118
	TypePutUpstream        Type = 120
	TypeDeleteUpstream     Type = 121
	TypeCacheManifest      Type = 122
	TypeSetCertificate     Type = 125
	TypeWarnCertificate    Type = 126
)

// The three ways in which a Put can meet what is there already.
const (
	// MustNotExist in ExpectVersion makes a Put create: the id must be new.
	MustNotExist uint64 = 0
	// AnyVersion in ExpectVersion makes a Put or Delete take the object as it
	// is; it must exist. Every other number must equal the object's Version.
	AnyVersion uint64 = 1<<64 - 1
)

// Command is one change. Only this package implements it.
type Command interface {
	// Type is the number under which the command is stored.
	Type() Type
	// From is the origin, for reading and, before Propose, for filling in.
	From() *model.Origin
	// Refs names the objects that the command is about, for the audit.
	Refs() []Ref
}

// Ref names one object.
type Ref struct {
	Kind string `json:"kind"` // as in model.Event.Kind
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Head is the part that every command has.
type Head struct {
	Origin model.Origin `json:"origin"`
}

// By makes a Head.
func By(o model.Origin) Head { return Head{Origin: o} }

// From is the origin of the command.
func (h *Head) From() *model.Origin { return &h.Origin }

// Refusal says that one item of a batch was not applied, and why; the other
// items were.
type Refusal struct {
	ID  string       `json:"id"`
	Err *model.Error `json:"err"`
}

// Outcome is what applying one command gave.
type Outcome struct {
	Err     *model.Error // the command was refused and changed nothing; nil if applied
	Refused []Refusal    // items of a batch that were refused
}

// kind is what the code knows about a command's type.
type kind struct {
	name  string // stable word for the audit
	level uint64 // feature level that the cluster must have
	make  func() Command
}

var kinds = map[Type]kind{
	TypeInitCluster:        {"cluster.init", 0, func() Command { return new(InitCluster) }},
	TypeRaiseLevel:         {"cluster.raise-level", 1, func() Command { return new(RaiseLevel) }},
	TypeAuditOnly:          {"audit.only", 1, func() Command { return new(AuditOnly) }},
	TypePutTenant:          {"tenant.put", 1, func() Command { return new(PutTenant) }},
	TypeDeleteTenant:       {"tenant.delete", 1, func() Command { return new(DeleteTenant) }},
	TypePutUser:            {"user.put", 1, func() Command { return new(PutUser) }},
	TypeDeleteUser:         {"user.delete", 1, func() Command { return new(DeleteUser) }},
	TypeSetPassword:        {"user.set-password", 1, func() Command { return new(SetPassword) }},
	TypeUseSetupToken:      {"user.setup", 1, func() Command { return new(UseSetupToken) }},
	TypePutAPIToken:        {"token.put", 1, func() Command { return new(PutAPIToken) }},
	TypeDeleteAPIToken:     {"token.delete", 1, func() Command { return new(DeleteAPIToken) }},
	TypePutSession:         {"session.put", 1, func() Command { return new(PutSession) }},
	TypeDeleteSession:      {"session.delete", 1, func() Command { return new(DeleteSession) }},
	TypeDeleteSessions:     {"session.delete-many", 1, func() Command { return new(DeleteSessions) }},
	TypePutNode:            {"node.put", 1, func() Command { return new(PutNode) }},
	TypeSetNodeStatus:      {"node.status", 1, func() Command { return new(SetNodeStatus) }},
	TypeSetNodeHealth:      {"node.health", 1, func() Command { return new(SetNodeHealth) }},
	TypeRemoveNode:         {"node.remove", 1, func() Command { return new(RemoveNode) }},
	TypeJoinNode:           {"node.join", 1, func() Command { return new(JoinNode) }},
	TypePutJoinToken:       {"jointoken.put", 1, func() Command { return new(PutJoinToken) }},
	TypeRevokeJoinToken:    {"jointoken.revoke", 1, func() Command { return new(RevokeJoinToken) }},
	TypeEvictContainers:    {"container.evict", 1, func() Command { return new(EvictContainers) }},
	TypeRotateAuthority:    {"cluster.rotate-authority", 1, func() Command { return new(RotateAuthority) }},
	TypeRaiseGeneration:    {"cluster.raise-generation", 1, func() Command { return new(RaiseGeneration) }},
	TypePutApp:             {"app.put", 1, func() Command { return new(PutApp) }},
	TypeRemoveApp:          {"app.remove", 1, func() Command { return new(RemoveApp) }},
	TypeSetAppStopped:      {"app.stop", 1, func() Command { return new(SetAppStopped) }},
	TypeSetServiceReplicas: {"service.scale", 1, func() Command { return new(SetServiceReplicas) }},
	TypeSetServiceStopped:  {"service.stop", 1, func() Command { return new(SetServiceStopped) }},
	TypeSetServiceStatus:   {"service.status", 1, func() Command { return new(SetServiceStatus) }},
	TypeSetIntent:          {"container.intent", 1, func() Command { return new(SetIntent) }},
	TypePutContainers:      {"container.put", 1, func() Command { return new(PutContainers) }},
	TypeAssignContainers:   {"container.assign", 1, func() Command { return new(AssignContainers) }},
	TypeSetContainerStatus: {"container.status", 1, func() Command { return new(SetContainerStatus) }},
	TypeForgetContainers:   {"container.forget", 1, func() Command { return new(ForgetContainers) }},
	TypePutVolume:          {"volume.put", 1, func() Command { return new(PutVolume) }},
	TypeDeleteVolume:       {"volume.delete", 1, func() Command { return new(DeleteVolume) }},
	TypePutImage:           {"image.put", 1, func() Command { return new(PutImage) }},
	TypeDeleteImage:        {"image.delete", 1, func() Command { return new(DeleteImage) }},
	TypePutRepository:      {"repository.put", 1, func() Command { return new(PutRepository) }},
	TypeDeleteRepository:   {"repository.delete", 1, func() Command { return new(DeleteRepository) }},
	TypePutManifest:        {"manifest.put", 1, func() Command { return new(PutManifest) }},
	TypePutTag:             {"tag.put", 1, func() Command { return new(PutTag) }},
	TypeDeleteTag:          {"tag.delete", 1, func() Command { return new(DeleteTag) }},
	TypeDeleteManifest:     {"manifest.delete", 1, func() Command { return new(DeleteManifest) }},
	TypeLinkBlobs:          {"blob.link", 1, func() Command { return new(LinkBlobs) }},
	TypeMountBlob:          {"blob.mount", 1, func() Command { return new(MountBlob) }},
	TypeUnlinkBlobs:        {"blob.unlink", 1, func() Command { return new(UnlinkBlobs) }},
	TypePutUpstream:        {"upstream.put", 1, func() Command { return new(PutUpstream) }},
	TypeDeleteUpstream:     {"upstream.delete", 1, func() Command { return new(DeleteUpstream) }},
	TypeCacheManifest:      {"upstream.cache", 1, func() Command { return new(CacheManifest) }},
	TypeSetCertificate:     {"certificate.set", 1, func() Command { return new(SetCertificate) }},
	TypeWarnCertificate:    {"certificate.warn", 1, func() Command { return new(WarnCertificate) }},
}

// Name is the stable word for a type, e.g. "app.put"; "command 512" for a
// number that this binary does not know.
func (t Type) Name() string {
	if k, ok := kinds[t]; ok {
		return k.name
	}
	return fmt.Sprintf("command %d", uint16(t))
}

// MinLevel is the feature level that the cluster must have before a command of
// this type may be proposed.
func (t Type) MinLevel() uint64 { return kinds[t].level }

// Known says whether this binary can apply commands of this type.
func (t Type) Known() bool { _, ok := kinds[t]; return ok }

// Types lists every type that this binary knows, in no order.
func Types() []Type {
	out := make([]Type, 0, len(kinds))
	for t := range kinds {
		out = append(out, t)
	}
	return out
}

// NewID makes an id for a new object: 16 characters of lower-case base32, 80
// random bits. Call it before Propose; ids are never made while applying.
func NewID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
