package ctrd

import (
	"context"
	"fmt"
)

// EngineVersion asks the engine for its version, and so whether it answers.
func (r *Runtime) EngineVersion(ctx context.Context) (string, error) {
	v, err := r.client.Version(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the engine for its version: %w", err)
	}
	return v.Version, nil
}
