// Package registry is the cluster's own container registry: the OCI distribution
// protocol 1.1 (and Docker's schema 2) as a view on the engine's content store.
//
// It owns /v2/, the uploads of this node, which blobs the engine keeps because
// the registry needs them, and the collector that gives up what nothing needs.
// Blobs and the bytes of manifests are in the engine's content store, once, where
// images run from; tags, manifests' references and which repository holds which
// blob are rows of the replicated state. It never decides who may do what: Access
// does. Having a digest is no permission: every blob is read through a
// repository that links it, and a link needs the bytes or a repository that the
// caller may read.
//
// Called by appliance/api (as an http.Handler) and appliance (Run). A Registry is
// safe for concurrent use.
package registry
