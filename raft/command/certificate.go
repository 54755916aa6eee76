package command

import "github.com/skerryhq/skerry/raft/model"

// SetCertificate puts an uploaded certificate on the control plane's port of
// every node; nil goes back to those of the cluster's own authority. Taking away
// what is not there is refused with code "not_found".
type SetCertificate struct {
	Head
	Certificate *model.ServerCertificate `json:"certificate,omitempty"`
}

// Type is TypeSetCertificate.
func (*SetCertificate) Type() Type { return TypeSetCertificate }

// Refs names the certificate: there is one.
func (*SetCertificate) Refs() []Ref { return []Ref{{Kind: "certificate"}} }

// WarnCertificate tells that the uploaded certificate ends in Days days; -1: it
// has ended. It is refused with code "already_warned" if as much was told
// before, and with "not_found" if there is none.
type WarnCertificate struct {
	Head
	Days int `json:"days"`
}

// Type is TypeWarnCertificate.
func (*WarnCertificate) Type() Type { return TypeWarnCertificate }

// Refs names the certificate: there is one.
func (*WarnCertificate) Refs() []Ref { return []Ref{{Kind: "certificate"}} }
