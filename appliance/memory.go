package appliance

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to three times what is in use before it is
// collected. Measured with 64 writers it saves a fifth of the processor time of
// a write; in use are some 20 MiB, so that it costs as much again in memory.
const gcPercent = 200

// tuneMemory sets the collector for this process, unless the operator did.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
