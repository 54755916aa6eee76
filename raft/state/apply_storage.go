package state

import (
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

func (t *tx) putVolume(c *command.PutVolume) *model.Error {
	old, ok := t.v.Volume(c.Volume.ID)
	if err := expect(metaOf(volumes, old, ok), c.ExpectVersion, "volume", c.Volume.ID); err != nil {
		return err
	}
	n := c.Volume
	if !ok {
		return t.createVolume(&n)
	}
	switch {
	case n.Name != old.Name:
		return model.Errorf(model.KindInvalid, "name_fixed", "volume %s keeps its name", old.Name).At("name")
	case n.TenantID != "" && n.TenantID != old.TenantID || n.NodeID != "" && n.NodeID != old.NodeID && old.NodeID != "":
		return model.Errorf(model.KindInvalid, "volume_fixed", "volume %s stays with its tenant and its node", old.Name)
	}
	if n.NodeID != "" && old.NodeID == "" { // the first container that mounts it decides
		if _, ok := t.v.Node(n.NodeID); !ok {
			return notFound("node", n.NodeID).At("nodeId")
		}
	} else {
		n.NodeID = old.NodeID
	}
	n.Meta, n.TenantID = old.Meta, old.TenantID
	t.updated(&n.Meta)
	t.replace(tabVolumes, old, &n)
	return nil
}

// createVolume writes a new volume.
func (t *tx) createVolume(n *model.Volume) *model.Error {
	if err := checkID(n.ID, "volume"); err != nil {
		return err
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	if _, ok := t.v.Tenant(n.TenantID); !ok {
		return notFound("tenant", n.TenantID).At("tenantId")
	}
	if _, used := t.v.Volume(n.ID); used {
		return model.Errorf(model.KindConflict, "already_exists", "the id of volume %s is in use; repeat the change", n.Name)
	}
	if _, taken := t.v.VolumeByName(n.TenantID, n.Name); taken {
		return nameTaken("volume", n.Name, "")
	}
	if n.NodeID != "" {
		if _, ok := t.v.Node(n.NodeID); !ok {
			return notFound("node", n.NodeID).At("nodeId")
		}
	}
	t.created(&n.Meta)
	t.create(tabVolumes, n)
	t.event(model.Event{TenantID: n.TenantID, Kind: "volume", ObjectID: n.ID, Object: n.Name, Reason: "Created", Message: "volume " + n.Name + " was made"})
	return nil
}

func (t *tx) deleteVolume(c *command.DeleteVolume) *model.Error {
	old, ok := t.v.Volume(c.ID)
	if err := expectThere(metaOf(volumes, old, ok), c.ExpectVersion, "volume", c.ID); err != nil {
		return err
	}
	for k := range t.v.ContainersOfVolume(old.ID) {
		return model.Errorf(model.KindConflict, "volume_in_use", "volume %s is mounted by container %s of app %s; remove that first", old.Name, k.Name, k.AppName)
	}
	for s := range t.v.ServicesOfVolume(old.ID) {
		return model.Errorf(model.KindConflict, "volume_in_use", "volume %s belongs to service %s of app %s; remove that first", old.Name, s.Name, s.AppName)
	}
	t.del(tabVolumes, old)
	t.event(model.Event{TenantID: old.TenantID, Kind: "volume", ObjectID: old.ID, Object: old.Name, Reason: "Deleted",
		Message: "volume " + old.Name + " was deleted by " + t.origin.Actor})
	return nil
}

func (t *tx) putImage(c *command.PutImage) *model.Error {
	n := c.Image
	return t.storeImage(&n, c.ExpectVersion)
}

// storeImage writes an image's name, new or with new content.
func (t *tx) storeImage(n *model.Image, expected uint64) *model.Error {
	if err := checkName(n.Name); err != nil {
		return err
	}
	if _, ok := t.v.Tenant(n.TenantID); !ok {
		return notFound("tenant", n.TenantID).At("tenantId")
	}
	old, ok := t.v.ImageByName(n.TenantID, n.Name)
	e := model.Event{TenantID: n.TenantID, Kind: "image", Object: n.Name, Reason: "Added", Message: "image " + n.Name + " was added"}
	if !ok {
		if err := expect(nil, expected, "image", n.Name); err != nil {
			return err
		}
		if err := checkID(n.ID, "image"); err != nil {
			return err
		}
		if _, used := t.v.Image(n.ID); used {
			return model.Errorf(model.KindConflict, "already_exists", "the id of image %s is in use; repeat the change", n.Name)
		}
		t.created(&n.Meta)
		t.create(tabImages, n)
		e.ObjectID = n.ID
		t.event(e)
		return nil
	}
	if err := expectThere(&old.Meta, expected, "image", n.Name); err != nil {
		return err
	}
	n.Meta, n.Public = old.Meta, old.Public || n.Public // new content does not hide it from others
	t.updated(&n.Meta)
	t.replace(tabImages, old, n)
	if n.Digest != old.Digest {
		e.ObjectID, e.Reason, e.Message = n.ID, "Updated", "image "+n.Name+" has new content"
		t.event(e)
	}
	return nil
}

func (t *tx) deleteImage(c *command.DeleteImage) *model.Error {
	old, ok := t.v.Image(c.ID)
	if err := expectThere(metaOf(images, old, ok), c.ExpectVersion, "image", c.ID); err != nil {
		return err
	}
	if !c.Force {
		if err := t.checkImageUnused(old); err != nil {
			return err
		}
	}
	t.del(tabImages, old)
	t.event(model.Event{TenantID: old.TenantID, Kind: "image", ObjectID: old.ID, Object: old.Name, Reason: "Deleted",
		Message: "image " + old.Name + " was deleted by " + t.origin.Actor})
	return nil
}

// checkImageUnused looks at every service and container that may use an image.
// It reads them all, which is bearable for something that people do by hand.
func (t *tx) checkImageUnused(img *model.Image) *model.Error {
	uses := func(tenantID string, s *model.ContainerSpec) bool {
		return s.Image == img.Name && (tenantID == img.TenantID || img.Public)
	}
	for s := range t.v.Services() {
		if uses(s.TenantID, &s.Spec.Container) && !s.Removing {
			if s.TenantID != img.TenantID {
				return model.Errorf(model.KindConflict, "image_in_use", "image %s is used by another tenant, so it stays", img.Name)
			}
			return model.Errorf(model.KindConflict, "image_in_use", "image %s is used by service %s of app %s; remove that first", img.Name, s.Name, s.AppName)
		}
	}
	for c := range t.v.Containers() {
		if uses(c.TenantID, &c.Spec) {
			if c.TenantID != img.TenantID {
				return model.Errorf(model.KindConflict, "image_in_use", "image %s is used by another tenant, so it stays", img.Name)
			}
			return model.Errorf(model.KindConflict, "image_in_use", "image %s is used by container %s; remove that first", img.Name, c.Name)
		}
	}
	return nil
}
