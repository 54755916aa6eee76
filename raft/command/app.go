package command

import "github.com/skerryhq/skerry/raft/model"

// PutApp creates or changes an app. It writes the app, a revision (if the spec
// is a new one; the last 50 are kept), its services, its published ports and
// the volumes that it names and that do not exist yet.
//
// A service that the spec no longer names is marked Removing, or deleted if it
// has no containers. Volume ids are filled into the spec's mounts.
//
// Refusals: "name_taken", "stale_version", "not_found", "app_removing",
// "port_taken", "port_out_of_range", "ports_exhausted", "volume_missing",
// "volume_taken", "id_missing".
type PutApp struct {
	Head
	App           model.App         `json:"app"` // Revision, Removing and Meta's version and times are ignored
	ExpectVersion uint64            `json:"expectVersion"`
	ServiceIDs    map[string]string `json:"serviceIds,omitempty"` // service name -> id for services that do not exist yet
	Volumes       []model.Volume    `json:"volumes,omitempty"`    // made if the tenant has none of that name: ID, Name, NodeID, Spec
}

// Type is TypePutApp.
func (*PutApp) Type() Type { return TypePutApp }

// Refs names the app.
func (c *PutApp) Refs() []Ref { return []Ref{{Kind: "app", ID: c.App.ID, Name: c.App.Name}} }

// RemoveApp marks an app and its services Removing; the rows and ports go with
// the last container, at once if there is none. Doing it twice is no error.
type RemoveApp struct {
	Head
	ID            string `json:"id"`
	ExpectVersion uint64 `json:"expectVersion"`
}

// Type is TypeRemoveApp.
func (*RemoveApp) Type() Type { return TypeRemoveApp }

// Refs names the app.
func (c *RemoveApp) Refs() []Ref { return []Ref{{Kind: "app", ID: c.ID}} }

// SetAppStopped stops or starts an app. Starting also takes back every stop
// that was asked of its services and containers.
type SetAppStopped struct {
	Head
	ID            string `json:"id"`
	ExpectVersion uint64 `json:"expectVersion"`
	Stopped       bool   `json:"stopped"`
}

// Type is TypeSetAppStopped.
func (*SetAppStopped) Type() Type { return TypeSetAppStopped }

// Refs names the app.
func (c *SetAppStopped) Refs() []Ref { return []Ref{{Kind: "app", ID: c.ID}} }

// SetServiceReplicas scales a service; the app gets a revision that says so.
type SetServiceReplicas struct {
	Head
	ServiceID     string `json:"serviceId"`
	ExpectVersion uint64 `json:"expectVersion"` // of the service
	Replicas      int    `json:"replicas"`
}

// Type is TypeSetServiceReplicas.
func (*SetServiceReplicas) Type() Type { return TypeSetServiceReplicas }

// Refs names the service.
func (c *SetServiceReplicas) Refs() []Ref { return []Ref{{Kind: "service", ID: c.ServiceID}} }

// SetServiceStopped stops or starts one service. Starting also takes back
// every stop that was asked of its containers.
type SetServiceStopped struct {
	Head
	ServiceID     string `json:"serviceId"`
	ExpectVersion uint64 `json:"expectVersion"` // of the service
	Stopped       bool   `json:"stopped"`
}

// Type is TypeSetServiceStopped.
func (*SetServiceStopped) Type() Type { return TypeSetServiceStopped }

// Refs names the service.
func (c *SetServiceStopped) Refs() []Ref { return []Ref{{Kind: "service", ID: c.ServiceID}} }

// SetServiceStatus writes the leader's conditions of a service; the number of
// running containers is counted while applying.
type SetServiceStatus struct {
	Head
	ServiceID  string            `json:"serviceId"`
	Conditions []model.Condition `json:"conditions,omitempty"`
}

// Type is TypeSetServiceStatus.
func (*SetServiceStatus) Type() Type { return TypeSetServiceStatus }

// Refs names the service.
func (c *SetServiceStatus) Refs() []Ref { return []Ref{{Kind: "service", ID: c.ServiceID}} }
