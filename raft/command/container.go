package command

import "github.com/skerryhq/skerry/raft/model"

// Action is what a user asks of one container.
type Action string

// The actions.
const (
	ActionStop    Action = "stop"    // end the task and leave it ended
	ActionStart   Action = "start"   // begin a task unless one runs
	ActionRestart Action = "restart" // end the task, begin another
	ActionKill    Action = "kill"    // like stop, at once, SIGKILL unless Signal says otherwise
)

// SetIntent stops, starts, restarts or kills one container.
type SetIntent struct {
	Head
	ContainerID string `json:"containerId"`
	Action      Action `json:"action"`
	Signal      string `json:"signal,omitempty"`       // stop, restart and kill; empty means the spec's
	GraceSecs   int    `json:"graceSeconds,omitempty"` // stop and restart; 0 means the spec's, -1 none at all
}

// Type is TypeSetIntent.
func (*SetIntent) Type() Type { return TypeSetIntent }

// Refs names the container.
func (c *SetIntent) Refs() []Ref { return []Ref{{Kind: "container", ID: c.ContainerID}} }

// PutContainers creates containers with their assignment: all of them or, if
// one is refused, none. Names are unique within a tenant ("name_taken"),
// addresses within the cluster ("address_taken"); the service must exist and
// not be on its way out ("service_removing", "not_found").
type PutContainers struct {
	Head
	Containers []model.Container `json:"containers"` // AppName, ServiceName, tenant and environment are filled in from the service
}

// Type is TypePutContainers.
func (*PutContainers) Type() Type { return TypePutContainers }

// Refs names the containers.
func (c *PutContainers) Refs() []Ref {
	out := make([]Ref, len(c.Containers))
	for i := range c.Containers {
		out[i] = Ref{Kind: "container", ID: c.Containers[i].ID, Name: c.Containers[i].Name}
	}
	return out
}

// AssignContainers changes assignments: all items or none. Containers that are
// gone are passed over. Remove can be set, never taken back
// ("container_removing").
type AssignContainers struct {
	Head
	Items []AssignItem `json:"items"`
}

// AssignItem is one decision.
type AssignItem struct {
	ID            string           `json:"id"`
	ExpectVersion uint64           `json:"expectVersion"` // AnyVersion to overwrite
	Assign        model.Assignment `json:"assign"`
}

// Type is TypeAssignContainers.
func (*AssignContainers) Type() Type { return TypeAssignContainers }

// Refs names the containers.
func (c *AssignContainers) Refs() []Ref {
	out := make([]Ref, len(c.Items))
	for i := range c.Items {
		out[i] = Ref{Kind: "container", ID: c.Items[i].ID}
	}
	return out
}

// SetContainerStatus is an agent's word about containers of its node. Items
// are judged one by one: those that are refused are in Outcome.Refused
// ("not_found", "wrong_node", "phase_backwards"), the others are applied.
//
// For one task the phase only moves forward; backoff and failed may begin again
// under the same number, and a higher Task may begin anywhere.
type SetContainerStatus struct {
	Head
	NodeID string       `json:"nodeId"`
	Items  []StatusItem `json:"items"`
}

// StatusItem is the status of one container.
type StatusItem struct {
	ID     string                `json:"id"`
	Status model.ContainerStatus `json:"status"`
}

// Type is TypeSetContainerStatus.
func (*SetContainerStatus) Type() Type { return TypeSetContainerStatus }

// Refs names the containers.
func (c *SetContainerStatus) Refs() []Ref {
	out := make([]Ref, len(c.Items))
	for i := range c.Items {
		out[i] = Ref{Kind: "container", ID: c.Items[i].ID}
	}
	return out
}

// ForgetContainers is an agent's word that nothing is left of containers whose
// assignment said Remove. Their rows go, and with the last one the rows and
// ports of a service or an app on its way out. Containers that are gone are
// passed over; one that was not to be removed is refused ("not_removing") in
// Outcome.Refused.
type ForgetContainers struct {
	Head
	NodeID string   `json:"nodeId"`
	IDs    []string `json:"ids"`
}

// Type is TypeForgetContainers.
func (*ForgetContainers) Type() Type { return TypeForgetContainers }

// Refs names the containers.
func (c *ForgetContainers) Refs() []Ref {
	out := make([]Ref, len(c.IDs))
	for i, id := range c.IDs {
		out[i] = Ref{Kind: "container", ID: id}
	}
	return out
}
