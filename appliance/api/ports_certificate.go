package api

import "github.com/skerryhq/skerry/raft/model"

// Certificates judges and describes what the control plane's port shows. It
// changes nothing: the state does, and the listener follows the state.
type Certificates interface {
	// Accept checks an upload, PEM both, and gives what the state keeps of it,
	// the key sealed. Errors: KindInvalid with the field certificate or key.
	Accept(chain, key []byte) (*model.ServerCertificate, error)
	// Describe describes an uploaded certificate; nil: the one that the cluster's
	// own authority issued to this node.
	Describe(uploaded *model.ServerCertificate) (Certificate, error)
}
