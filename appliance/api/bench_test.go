package api

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkWrite is one authenticated write through TLS, the gate, raft with
// fsync and the state, from 64 clients on the same machine.
func BenchmarkWrite(b *testing.B) {
	r := newRig(b)
	addr, _, _ := r.serve()
	token := r.admin()
	const clients = 64
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, MaxIdleConnsPerHost: clients}}
	var next atomic.Int64
	var work sync.WaitGroup
	before := cpuTime()
	b.ResetTimer()
	for range clients {
		work.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				body := fmt.Sprintf(`{"name":"v%d"}`, i)
				q, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "https://"+addr+base+"/volumes", bytes.NewReader([]byte(body)))
				if err != nil {
					b.Error(err)
					return
				}
				q.Header.Set("Authorization", "Bearer "+token)
				q.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(q)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-us/write") // says more than the rate where others use the machine
	client.CloseIdleConnections()
}

// cpuTime is what this process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
