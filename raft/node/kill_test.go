package node_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/fsm"
	"github.com/skerryhq/skerry/raft/node"
)

// stormDir, in the environment, turns this test binary into the child that
// TestKilledInAStorm kills.
const stormDir = "SKERRY_TEST_STORM_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(stormDir); dir != "" {
		storm(dir)
		return
	}
	os.Exit(m.Run())
}

// storm writes without end and prints the name of every acknowledged volume.
func storm(dir string) {
	n, err := node.Open(node.Config{Dir: dir, ID: nodeID, Audit: fsm.AuditConfig{FileBytes: 64 << 10}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	if err := n.WaitReady(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { // snapshots, so that some kills meet one being written
		for {
			_ = n.Snapshot(ctx)
		}
	}()
	var mu sync.Mutex
	var wg sync.WaitGroup
	run := command.NewID()
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%s-%d-%d", run, c, i)
				if _, err := n.Propose(ctx, volume(name)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				mu.Lock()
				fmt.Println(name) // to a pipe, unbuffered: the parent has it before the next write
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKilledInAStorm kills the process (SIGKILL) in the middle of writing, again
// and again over the same data: every acknowledged write must be there
// afterwards, and in the audit exactly once.
func TestKilledInAStorm(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Open(node.Config{Dir: dir, ID: nodeID})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, n, initCommand())
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	var acked []string
	for round := range 4 {
		acked = append(acked, killAfter(t, dir, 300+400*round)...)
	}
	t.Logf("%d writes were acknowledged before the kills", len(acked))
	n = open(t, dir)
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	requireVolumes(t, n.View(), acked)
	times := map[string]int{}
	for _, r := range readAudit(t, n) {
		if r.Action == "volume.put" {
			times[r.Objects[0].Name]++
		}
	}
	for _, name := range acked {
		if times[name] != 1 {
			t.Fatalf("volume %s is in the audit %d times", name, times[name])
		}
	}
}

// killAfter runs the storm until it acknowledged k writes and gives all that it
// acknowledged before it died.
func killAfter(t *testing.T, dir string, k int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), stormDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for s := bufio.NewScanner(out); s.Scan(); {
		names = append(names, s.Text())
		if len(names) == k {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed: its status says nothing
	if len(names) < k {
		t.Fatalf("the child ended after %d of %d writes", len(names), k)
	}
	return names
}
