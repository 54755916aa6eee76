package appliance

import (
	"cmp"
	"context"
	"strings"

	"github.com/skerryhq/skerry/appliance/agent"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/workload"
)

// The adapters here fit a foundation to the interface that a room declared.

// starter gives the state of a container that was just started.
type starter struct{ *ctrd.Runtime }

// Start begins a task and says what runs now.
func (s starter) Start(ctx context.Context, id workload.ID) (workload.State, error) {
	if err := s.Runtime.Start(ctx, id); err != nil {
		return workload.State{}, err
	}
	return s.Inspect(ctx, id)
}

// logPipes opens pipes at the log daemon.
type logPipes struct{ *logs.Client }

// Open makes the pipes of a container.
func (l logPipes) Open(ctx context.Context, id string, o agent.LogOptions) (workload.Stdio, error) {
	p, err := l.Client.Open(ctx, id, logs.OpenOptions{TTY: o.TTY, Stdin: o.Stdin, MaxBytes: o.MaxBytes, MaxFiles: o.MaxFiles})
	return workload.Stdio{Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr}, err
}

// auditLog reads the record of what was done.
type auditLog struct{ audit *fsm.Audit }

// Entries gives what people did, the newest first.
func (a auditLog) Entries(_ context.Context, q api.AuditQuery) ([]api.AuditEntry, string, error) {
	page, err := a.audit.Read(fsm.AuditQuery{Actor: q.Actor, TenantID: q.TenantID, Since: q.Since, Until: q.Until, Limit: q.Limit, Cursor: q.Cursor})
	if err != nil {
		return nil, "", err
	}
	out := []api.AuditEntry{}
	for _, r := range page.Records {
		if q.Operation != "" && r.Origin.Operation != q.Operation {
			continue
		}
		var objects []string
		for _, o := range r.Objects {
			objects = append(objects, strings.TrimSpace(o.Kind+" "+cmp.Or(o.Name, o.ID)))
		}
		out = append(out, api.AuditEntry{
			Index: r.Index, Time: r.Origin.Time, Actor: r.Origin.Actor, UserID: r.Origin.UserID, TokenID: r.Origin.TokenID,
			TenantID: r.Origin.TenantID, RemoteIP: r.Origin.RemoteIP, RequestID: r.Origin.RequestID,
			Operation: r.Origin.Operation, Command: r.Action, Object: strings.Join(objects, ", "), Refused: r.Code,
		})
	}
	return out, page.Next, nil
}
