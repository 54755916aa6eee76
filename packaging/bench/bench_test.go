package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSeries(t *testing.T) {
	var s series
	for _, v := range []float64{9, 1, 5, 3, 7} {
		s.add(v)
	}
	if s.median() != 5 || s.quantile(0) != 1 || s.quantile(1) != 9 {
		t.Errorf("median %v, lowest %v, highest %v: want 5, 1, 9", s.median(), s.quantile(0), s.quantile(1))
	}
	var none *series
	if none.orZero() != 0 || (&series{}).median() != 0 {
		t.Error("a figure without runs is not 0")
	}
}

func TestEach(t *testing.T) {
	var running, most, calls atomic.Int32
	err := each(t.Context(), 40, 8, func(context.Context, int) error {
		now := running.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		calls.Add(1)
		running.Add(-1)
		return nil
	})
	if err != nil || calls.Load() != 40 || most.Load() > 8 {
		t.Errorf("err %v, %d calls, %d at a time: want nil, 40, at most 8", err, calls.Load(), most.Load())
	}
	wrong := errors.New("wrong")
	calls.Store(0)
	err = each(t.Context(), 1000, 2, func(_ context.Context, i int) error {
		calls.Add(1)
		return wrong
	})
	if !errors.Is(err, wrong) || calls.Load() > 10 {
		t.Errorf("err %v after %d calls: want the first error soon", err, calls.Load())
	}
}

func TestServerTiming(t *testing.T) {
	header := http.Header{}
	header.Add("Server-Timing", `propose;dur=1.5, cache, snapshot;desc="new container";dur=4`)
	header.Add("Server-Timing", "task;dur=52.25")
	want := []step{{"propose", 1500 * time.Microsecond}, {"snapshot", 4 * time.Millisecond}, {"task", 52250 * time.Microsecond}}
	if got := serverTiming(header); !reflect.DeepEqual(got, want) {
		t.Errorf("serverTiming = %v, want %v", got, want)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for argument, want := range map[string]string{
		"-only=start,brust": `-only: "brust" is not known`,
		"-peers=podman":     `-peers: "podman" is not known`,
		"-burst=0":          "-burst: 1 to 500",
	} {
		if _, err := parse([]string{argument}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err = %v, want %q in it", argument, err, want)
		}
	}
}

func TestCensusSaysWhatWasLeft(t *testing.T) {
	before := census{"mounts": 2, "netns": 1, "leases": 0}
	if err := before.compare("t", census{"mounts": 2, "netns": 9, "leases": 0}); err != nil {
		t.Errorf("nothing of ours was left, err = %v", err)
	}
	err := before.compare("t", census{"mounts": 3, "netns": 1, "leases": 4})
	if err == nil || !strings.Contains(err.Error(), "4 leases, 1 mounts") {
		t.Errorf("err = %v, want 4 leases and 1 mount named", err)
	}
}

// TestProcessesOfAFolder starts a shell whose child does not name the folder and
// checks that both are found, measured and swept.
func TestProcessesOfAFolder(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "run")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsleep 300 &\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	deadline := time.Now().Add(10 * time.Second)
	for len(under(dir)) < 2 && time.Now().Before(deadline) {
		<-time.After(5 * time.Millisecond)
	}
	rss, _, count := footprint(dir, func(p process) string { return filepath.Base(p.argv[0]) })
	if count["sleep"] != 1 || rss["sleep"] <= 0 {
		t.Errorf("found %v with %v MiB, want one sleep", count, rss)
	}
	if err := sweep(dir); err != nil {
		t.Error(err)
	}
	<-done
	if left := under(dir); len(left) != 0 {
		t.Errorf("sweep left %v", left)
	}
}

func TestRandomImageIsAnImage(t *testing.T) {
	layout := t.TempDir()
	total, largest, err := randomImage(layout, []int{3 << 20, 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if total < 4<<20 || total > 5<<20 {
		t.Errorf("%d bytes, want a little more than 4 MiB", total)
	}
	if info, err := os.Stat(filepath.Join(layout, "blobs", strings.Replace(largest, ":", "/", 1))); err != nil || info.Size() < 3<<20 {
		t.Errorf("the largest blob: %v, %v", info, err)
	}
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo, which reads the layout, is not installed")
	}
	// A copy checks every digest.
	if out, err := exec.CommandContext(t.Context(), "skopeo", "copy", "-q", "oci:"+layout+":1", "dir:"+t.TempDir()).CombinedOutput(); err != nil {
		t.Errorf("skopeo: %v\n%s", err, out)
	}
}
