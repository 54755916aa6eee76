package appliance

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// notifySocket takes the service manager's socket out of the environment, so
// that nothing this process starts inherits it. It is empty where no service
// manager waits.
func notifySocket() string {
	path := os.Getenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("NOTIFY_SOCKET") // fails for impossible names only
	return path
}

// notify tells the service manager a state such as "READY=1". Without one it
// does nothing.
func notify(ctx context.Context, socket, state string) error {
	if socket == "" {
		return nil
	}
	if socket[0] == '@' { // an abstract name
		socket = "\x00" + socket[1:]
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unixgram", socket)
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}
