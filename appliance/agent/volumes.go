package agent

import (
	"context"
	"slices"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
)

// adoptVolumes remembers which volumes this node has, and puts aside the data
// that belongs to none. That it is unknown does not say that anybody wanted it
// gone (the state may come from a backup), so a person deletes it.
func (a *Agent) adoptVolumes(view nodeview.View) error {
	a.volumes = map[string]bool{}
	for _, id := range view.Volumes {
		a.volumes[id] = true
	}
	ids, err := a.cfg.Volumes.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if a.volumes[id] {
			continue
		}
		to, err := a.cfg.Volumes.Discard(id)
		if err != nil {
			a.log.Warn("data of a volume that the cluster does not know could not be put aside", "volume", id, "err", err)
			continue
		}
		a.log.Warn("data of a volume that the cluster does not know was put aside; if nobody needs it, delete that folder", "volume", id, "folder", to)
	}
	return nil
}

// dropVolumes deletes the data of the volumes that an earlier view named and
// this one does not: somebody has deleted them, and nothing mounts them.
func (a *Agent) dropVolumes(ctx context.Context, v nodeview.View) {
	now := make(map[string]bool, len(v.Volumes))
	for _, id := range v.Volumes {
		now[id] = true
	}
	var gone []string
	for id := range a.volumes {
		if !now[id] {
			gone = append(gone, id)
		}
	}
	a.volumes = now
	if len(gone) == 0 {
		return
	}
	slices.Sort(gone)
	// Nobody waits for it, not even Run at its end: deleting millions of files
	// takes minutes. What an end of the process cuts short is put aside by adopt.
	go a.deleteData(ctx, gone)
}

// deleteData deletes volumes from the disk, one after the other, and tries again
// until it has them all or ctx ends.
func (a *Agent) deleteData(ctx context.Context, ids []string) {
	for failures := 0; ; failures++ {
		var left []string
		for _, id := range ids {
			if ctx.Err() != nil {
				return
			}
			if err := a.cfg.Volumes.Remove(id); err != nil {
				a.log.Warn("the data of a deleted volume is left over, trying again", "volume", id, "err", err)
				left = append(left, id)
				continue
			}
			a.log.Info("deleted the data of a volume", "volume", id)
		}
		if ids = left; len(ids) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause(failures)):
		}
	}
}
