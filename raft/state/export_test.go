package state

import (
	"fmt"

	"github.com/skerryhq/skerry/raft/model"
)

// GroupRows is how many containers a part of a group has at most.
const GroupRows = groupRows

// BrokenRows says what is wrong with the rows for many containers, measured
// against the containers and orphans themselves; empty if nothing is.
func BrokenRows(v *View) string {
	all := map[string]*model.Container{}
	for c := range under[model.Container](v, tabContainers, idxID, nil) {
		all[c.ID] = c
	}
	for _, g := range groupings {
		left := map[string]*model.Container{}
		for id, c := range all {
			if g.of(c) != "" {
				left[id] = c
			}
		}
		of, last := "", ""
		for part := range under[group](v, g.table, idxID, nil) {
			switch {
			case len(part.Rows) == 0 || len(part.Rows) > groupRows:
				return fmt.Sprintf("%s: a part with %d rows", g.table, len(part.Rows))
			case part.Of != of:
				of, last = part.Of, ""
			}
			if g.by(part.Rows[0]) < part.Low {
				return fmt.Sprintf("%s: %s stands in the part from %s", g.table, g.by(part.Rows[0]), part.Low)
			}
			if last != "" && part.Low <= last {
				return fmt.Sprintf("%s: the part from %s begins before %s", g.table, part.Low, last)
			}
			for _, c := range part.Rows {
				if left[c.ID] != c || g.of(c) != of || g.by(c) <= last {
					return fmt.Sprintf("%s: %s does not belong behind %s", g.table, c.Name, last)
				}
				delete(left, c.ID)
				last = g.by(c)
			}
		}
		if len(left) > 0 {
			return fmt.Sprintf("%s: %d containers are missing", g.table, len(left))
		}
	}
	owners := map[address]bool{}
	for c := range under[model.Container](v, tabContainers, idxID, nil) {
		if c.Assign.Address.IsValid() {
			owners[address{c.Assign.Address, c.ID}] = true
		}
	}
	for o := range v.Orphans() {
		if o.Address.IsValid() {
			owners[address{o.Address, o.ID}] = true
		}
	}
	for b := range under[addressBlock](v, tabAddresses, idxID, nil) {
		if len(b.Owners) == 0 {
			return "an empty block of addresses"
		}
		for i, a := range b.Owners {
			if !owners[a] || baseOf(a.Addr) != b.Base || i > 0 && !b.Owners[i-1].Addr.Less(a.Addr) {
				return fmt.Sprintf("address %s of %s is wrong", a.Addr, a.ContainerID)
			}
			delete(owners, a)
		}
	}
	if len(owners) > 0 {
		return fmt.Sprintf("%d addresses are missing", len(owners))
	}
	return ""
}
