package command

import "github.com/skerryhq/skerry/raft/model"

// PutVolume creates a volume or changes its labels. Names are unique within a
// tenant ("name_taken").
type PutVolume struct {
	Head
	Volume        model.Volume `json:"volume"`
	ExpectVersion uint64       `json:"expectVersion"`
}

// Type is TypePutVolume.
func (*PutVolume) Type() Type { return TypePutVolume }

// Refs names the volume.
func (c *PutVolume) Refs() []Ref {
	return []Ref{{Kind: "volume", ID: c.Volume.ID, Name: c.Volume.Name}}
}

// DeleteVolume deletes a volume that no container and no service mounts
// ("volume_in_use", naming who does).
type DeleteVolume struct {
	Head
	ID            string `json:"id"`
	ExpectVersion uint64 `json:"expectVersion"`
}

// Type is TypeDeleteVolume.
func (*DeleteVolume) Type() Type { return TypeDeleteVolume }

// Refs names the volume.
func (c *DeleteVolume) Refs() []Ref { return []Ref{{Kind: "volume", ID: c.ID}} }

// PutImage stores an image's name, or gives an existing name new content. The
// pair of tenant and name is unique: if it exists, the row keeps its id and
// ExpectVersion is judged against it; with MustNotExist it is overwritten, as a
// second pull of the same name is.
type PutImage struct {
	Head
	Image         model.Image `json:"image"`
	ExpectVersion uint64      `json:"expectVersion"`
}

// Type is TypePutImage.
func (*PutImage) Type() Type { return TypePutImage }

// Refs names the image.
func (c *PutImage) Refs() []Ref { return []Ref{{Kind: "image", ID: c.Image.ID, Name: c.Image.Name}} }

// DeleteImage deletes an image's name; refused while a service or a container
// uses it ("image_in_use") unless Force.
type DeleteImage struct {
	Head
	ID            string `json:"id"`
	ExpectVersion uint64 `json:"expectVersion"`
	Force         bool   `json:"force,omitempty"`
}

// Type is TypeDeleteImage.
func (*DeleteImage) Type() Type { return TypeDeleteImage }

// Refs names the image.
func (c *DeleteImage) Refs() []Ref { return []Ref{{Kind: "image", ID: c.ID}} }
