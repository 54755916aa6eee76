package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// A snapshot is a stream of JSON values, one a line: a header, then for each
// table (in a fixed order) its rows in the order of their ids, each as
// {"t": table, "o": object}, then a footer with the number of rows. Equal states
// give equal bytes but for the header's writer.

const (
	snapshotMagic  = "skerry-state"
	snapshotFormat = 1
)

type snapshotHeader struct {
	Magic        string `json:"magic"`
	Format       int    `json:"format"`
	FeatureLevel uint64 `json:"featureLevel"`
	WrittenBy    string `json:"writtenBy"` // version of the binary
	Index        uint64 `json:"index"`     // of the last entry in it
}

type snapshotRow struct {
	Table  string          `json:"t,omitempty"`
	Object json.RawMessage `json:"o,omitempty"`
	Rows   *int            `json:"rows,omitempty"` // footer only
}

// rowsOf lists the tables in the order of the stream, with their row types.
var rowsOf = []struct {
	table string
	row   func() any
}{
	{tabMeta, func() any { return new(meta) }},
	{tabCluster, func() any { return new(model.Cluster) }},
	{tabTenants, func() any { return new(model.Tenant) }},
	{tabEnvironments, func() any { return new(model.Environment) }},
	{tabNodes, func() any { return new(model.Node) }},
	{tabUsers, func() any { return new(model.User) }},
	{tabTokens, func() any { return new(model.APIToken) }},
	{tabSessions, func() any { return new(model.Session) }},
	{tabApps, func() any { return new(model.App) }},
	{tabRevisions, func() any { return new(model.Revision) }},
	{tabServices, func() any { return new(model.Service) }},
	{tabPorts, func() any { return new(model.Port) }},
	{tabContainers, func() any { return new(model.Container) }},
	{tabVolumes, func() any { return new(model.Volume) }},
	{tabImages, func() any { return new(model.Image) }},
	{tabRepositories, func() any { return new(model.Repository) }},
	{tabManifests, func() any { return new(model.Manifest) }},
	{tabTags, func() any { return new(model.Tag) }},
	{tabBlobLinks, func() any { return new(model.BlobLink) }},
	{tabUpstreams, func() any { return new(model.Upstream) }},
	{tabAddresses, func() any { return new(address) }},
	{tabJoinTokens, func() any { return new(model.JoinToken) }},
	{tabRemovedNodes, func() any { return new(model.RemovedNode) }},
	{tabOrphans, func() any { return new(model.Orphan) }},
	{tabEvents, func() any { return new(eventChunk) }},
}

// ErrSnapshot means that a stream is not a snapshot or is damaged.
var ErrSnapshot = errors.New("snapshot is damaged")

// WriteSnapshot streams the view. version names this binary.
func (v *View) WriteSnapshot(w io.Writer, version string) error {
	b := bufio.NewWriterSize(w, 256<<10)
	enc := json.NewEncoder(b)
	h := snapshotHeader{Magic: snapshotMagic, Format: snapshotFormat, FeatureLevel: v.FeatureLevel(), WrittenBy: version, Index: v.Index()}
	if err := enc.Encode(h); err != nil {
		return fmt.Errorf("write snapshot header: %w", err)
	}
	rows := 0
	for _, t := range rowsOf {
		it, err := v.txn.Get(t.table, idxID, []byte(nil))
		must(err)
		write := func(o any) error {
			if err := enc.Encode(struct {
				Table  string `json:"t"`
				Object any    `json:"o"`
			}{t.table, o}); err != nil {
				return fmt.Errorf("write snapshot of %s: %w", t.table, err)
			}
			rows++
			return nil
		}
		for o := it.Next(); o != nil; o = it.Next() {
			block, ok := o.(*addressBlock)
			if !ok {
				if err := write(o); err != nil {
					return err
				}
				continue
			}
			for i := range block.Owners {
				if err := write(&block.Owners[i]); err != nil {
					return err
				}
			}
		}
	}
	if err := enc.Encode(snapshotRow{Rows: &rows}); err != nil {
		return fmt.Errorf("write snapshot footer: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// SnapshotLevel reads only the header and says which feature level and which
// version wrote it. Errors: ErrSnapshot.
func SnapshotLevel(r io.Reader) (level uint64, version string, err error) {
	h, err := readHeader(json.NewDecoder(bufio.NewReader(r)))
	return h.FeatureLevel, h.WrittenBy, err
}

func readHeader(dec *json.Decoder) (snapshotHeader, error) {
	var h snapshotHeader
	if err := dec.Decode(&h); err != nil {
		return h, fmt.Errorf("header: %w: %w", ErrSnapshot, err)
	}
	if h.Magic != snapshotMagic {
		return h, fmt.Errorf("header: %w: not a snapshot of the state", ErrSnapshot)
	}
	if h.Format != snapshotFormat || h.FeatureLevel > command.Level {
		return h, model.Errorf(model.KindUnavailable, "version_too_old",
			"the snapshot was written by version %s at feature level %d, which this binary does not know: install that version or a newer one", h.WrittenBy, h.FeatureLevel)
	}
	return h, nil
}

// Restore replaces everything by a snapshot. If it fails, the state stays as it
// was; if it succeeds, every watcher is woken. Errors: ErrSnapshot,
// "version_too_old".
func (s *Store) Restore(r io.Reader) error {
	g, err := readGeneration(r)
	if err != nil {
		return err
	}
	close(s.cur.Swap(g).abandoned)
	s.level.Store(s.View().FeatureLevel())
	s.signalEvents()
	return nil
}
