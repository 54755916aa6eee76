package access

import (
	"context"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// The batches in which things that change nothing reach the audit.
const (
	auditBuffer  = 1024
	auditBatch   = 200
	auditQuiet   = 500 * time.Millisecond
	auditTimeout = 10 * time.Second
)

// Recorder puts what leaves no command into the audit: refused sign-ins,
// terminals, file downloads. It proposes them in batches. Record is safe for
// concurrent use; Run must be running for anything to be kept.
type Recorder struct {
	cluster Cluster
	log     *slog.Logger
	in      chan command.AuditEntry
}

// NewRecorder makes a recorder; log gets what could not be kept.
func NewRecorder(c Cluster, log *slog.Logger) *Recorder {
	return &Recorder{cluster: c, log: log, in: make(chan command.AuditEntry, auditBuffer)}
}

// Record hands an entry over without waiting. When more come than the cluster
// takes (a flood of refused sign-ins), the entry goes to the log instead.
func (r *Recorder) Record(e command.AuditEntry) {
	if e.Origin.Time.IsZero() {
		e.Origin.Time = time.Now().UTC()
	}
	select {
	case r.in <- e:
	default:
		r.log.Warn("audit entry not kept", slog.String("actor", e.Origin.Actor), slog.String("action", e.Action), slog.String("code", e.Code))
	}
}

// Run proposes what is recorded until ctx ends, then what is left.
func (r *Recorder) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx), r.take(nil))
			return nil
		case e := <-r.in:
			wait := time.NewTimer(auditQuiet)
			select {
			case <-ctx.Done():
			case <-wait.C:
			}
			wait.Stop()
			r.flush(context.WithoutCancel(ctx), r.take([]command.AuditEntry{e}))
		}
	}
}

// take collects what waits, up to a batch.
func (r *Recorder) take(batch []command.AuditEntry) []command.AuditEntry {
	for len(batch) < auditBatch {
		select {
		case e := <-r.in:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

func (r *Recorder) flush(ctx context.Context, batch []command.AuditEntry) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	head := command.By(model.Origin{Actor: "system:audit", Time: time.Now().UTC()})
	if _, err := r.cluster.Propose(ctx, &command.AuditOnly{Head: head, Entries: batch}); err != nil {
		r.log.Warn("audit entries not kept", slog.Int("entries", len(batch)), slog.Any("err", err))
	}
}
