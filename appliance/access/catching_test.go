package access

import (
	"context"
	"log/slog"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/node"
)

// catching is a real node that notes what reaches the audit. Proposals come
// from one goroutine.
type catching struct {
	*node.Node
	actions []string
}

func (c *catching) Propose(ctx context.Context, cmds ...command.Command) (node.Result, error) {
	for _, cmd := range cmds {
		if a, ok := cmd.(*command.AuditOnly); ok {
			for _, e := range a.Entries {
				c.actions = append(c.actions, e.Action)
			}
		}
	}
	return c.Node.Propose(ctx, cmds...)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
