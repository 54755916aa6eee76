package appliance

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/control"
)

// How long a node that ends its daemon asks not to be given up, and how long it
// may take to say so.
const (
	backWithin      = 45 * time.Second
	farewellTimeout = 700 * time.Millisecond
)

// farewell tells the other members that this daemon ends while what it started
// goes on, so that an upgrade moves nothing. A host that goes down as a whole says
// nothing: what it ran is wanted elsewhere soon.
func (a *Appliance) farewell(p *parts) {
	if a.cfg.Ephemeral || p.record == nil || p.record.now().Role == "" || hostEnds() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range p.peers.Peers().Members() {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://peer"+control.HeartbeatPath, http.NoBody)
			if err != nil {
				return
			}
			req.Header.Set(control.AwayHeader, strconv.Itoa(int(backWithin.Seconds())))
			resp, err := p.peers.Peers().Client(m.ID).Do(req)
			if err != nil {
				a.log.Debug("a member was not told that this daemon ends", "member", m.ID, "err", err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
}

// hostEnds says whether the service manager is shutting the host down.
func hostEnds() bool {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output() // its status says the same again
	return strings.TrimSpace(string(out)) == "stopping"
}
