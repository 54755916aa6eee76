package command

import "github.com/skerryhq/skerry/raft/model"

// PutNode creates or changes a node. A change takes name, environment, block
// and spec; the status stays with SetNodeStatus. Names are unique
// ("name_taken"), blocks do not overlap ("block_taken").
type PutNode struct {
	Head
	Node          model.Node `json:"node"`
	ExpectVersion uint64     `json:"expectVersion"`
}

// Type is TypePutNode.
func (*PutNode) Type() Type { return TypePutNode }

// Refs names the node.
func (c *PutNode) Refs() []Ref { return []Ref{{Kind: "node", ID: c.Node.ID, Name: c.Node.Name}} }

// SetNodeStatus is a node's word about itself, sent on change only.
type SetNodeStatus struct {
	Head
	NodeID string           `json:"nodeId"`
	Status model.NodeStatus `json:"status"`
}

// Type is TypeSetNodeStatus.
func (*SetNodeStatus) Type() Type { return TypeSetNodeStatus }

// Refs names the node.
func (c *SetNodeStatus) Refs() []Ref { return []Ref{{Kind: "node", ID: c.NodeID}} }
