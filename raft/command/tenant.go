package command

import "github.com/skerryhq/skerry/raft/model"

// PutTenant creates or changes a tenant. Names are unique ("name_taken").
type PutTenant struct {
	Head
	Tenant        model.Tenant `json:"tenant"`
	ExpectVersion uint64       `json:"expectVersion"`
}

// Type is TypePutTenant.
func (*PutTenant) Type() Type { return TypePutTenant }

// Refs names the tenant.
func (c *PutTenant) Refs() []Ref {
	return []Ref{{Kind: "tenant", ID: c.Tenant.ID, Name: c.Tenant.Name}}
}

// DeleteTenant deletes a tenant that owns nothing any more ("tenant_in_use"
// otherwise; the default tenant stays). Its people lose their role in it.
type DeleteTenant struct {
	Head
	ID            string `json:"id"`
	ExpectVersion uint64 `json:"expectVersion"`
}

// Type is TypeDeleteTenant.
func (*DeleteTenant) Type() Type { return TypeDeleteTenant }

// Refs names the tenant.
func (c *DeleteTenant) Refs() []Ref { return []Ref{{Kind: "tenant", ID: c.ID}} }
