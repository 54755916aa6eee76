package logd

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

// A daemon is killed at every step of a batch; the next one neither loses nor repeats a line.
func TestRecoveryAtEveryStep(t *testing.T) {
	const before, batch, after = "old line\n", "one\ntwo\nthree\n", "four\n"
	type crash struct {
		c       *container
		fd      uintptr
		raw     []byte
		records []byte
	}
	begin := func(k crash) {
		k.c.journal.begin(logs.Stdout, k.raw, k.c.file.seq, k.c.file.size, len(k.records), false)
	}
	writeN := func(t *testing.T, k crash, n int) {
		if _, err := k.c.file.f.WriteAt(k.records[:n], k.c.file.size); err != nil {
			t.Fatal(err)
		}
	}
	steps := map[string]func(*testing.T, crash){
		"before anything":    func(*testing.T, crash) {},
		"noted":              func(_ *testing.T, k crash) { begin(k) },
		"written partly":     func(t *testing.T, k crash) { begin(k); writeN(t, k, 50) },
		"written to a line":  func(t *testing.T, k crash) { begin(k); writeN(t, k, bytes.IndexByte(k.records, '\n')+1) },
		"written, not noted": func(t *testing.T, k crash) { begin(k); writeN(t, k, len(k.records)) },
		"written and noted": func(t *testing.T, k crash) {
			begin(k)
			writeN(t, k, len(k.records))
			k.c.journal.step.Store(stepConsume)
		},
		"rotated before noted": func(t *testing.T, k crash) { k.c.file.maxBytes = 1; mustDo(t, k.c.file.makeRoom(len(k.records))) },
		"rotated and written": func(t *testing.T, k crash) {
			k.c.file.maxBytes = 1
			mustDo(t, k.c.file.makeRoom(len(k.records)))
			begin(k)
			writeN(t, k, 10)
		},
		"consumed": func(t *testing.T, k crash) {
			begin(k)
			writeN(t, k, len(k.records))
			k.c.journal.step.Store(stepConsume)
			mustDo(t, consume(k.fd, bytes.Clone(k.raw), &k.c.journal.mark))
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			d, shim := newTestDaemon(t)
			// The last daemon's view, stopped in the middle.
			c := &container{id: "c", dir: d.layout.Pipe("c"), log: d.log, peeker: d.peeker}
			var err error
			c.journal, err = openJournal(filepath.Join(c.dir, wire.JournalFile))
			mustDo(t, err)
			c.file, err = openLogFile(d.layout.Log("c"), 1<<20, 5)
			mustDo(t, err)
			var st logs.Stamper
			st.Set(time.Now().UnixNano())
			old, _ := cut(nil, &st, logs.Stdout, []byte(before), false, batchOut)
			mustDo(t, c.file.write(old))
			k := crash{c: c, fd: shim.Fd(), raw: []byte(batch)}
			k.records, _ = cut(nil, &st, logs.Stdout, k.raw, false, batchOut)
			fmt.Fprint(shim, batch)
			step(t, k)
			mustDo(t, c.file.close())
			mustDo(t, c.journal.close())

			meta, err := readMeta(c.dir)
			mustDo(t, err)
			next, err := d.load("c", meta)
			mustDo(t, err)
			fmt.Fprint(shim, after)
			mustDo(t, next.finish())
			requireLog(t, d, before+batch+after)
		})
	}
}

// The pipe that a killed daemon was reading is gone with its bytes, and another one stands under its name: what is
// in that one is output that nobody has seen.
func TestRecoveryTakesNothingFromAnotherPipe(t *testing.T) {
	for name, text := range map[string]string{"other text": "fresh one\n", "shorter": "x\n", "longer": "a line that is longer than the batch before\n"} {
		t.Run(name, func(t *testing.T) {
			d, shim := newTestDaemon(t)
			j, err := openJournal(filepath.Join(d.layout.Pipe("c"), wire.JournalFile))
			mustDo(t, err)
			j.begin(logs.Stdout, []byte("bygone text\n"), 0, 0, 0, false)
			j.step.Store(stepConsume)
			mustDo(t, j.close())
			fmt.Fprint(shim, text)
			meta, err := readMeta(d.layout.Pipe("c"))
			mustDo(t, err)
			c, err := d.load("c", meta)
			mustDo(t, err)
			mustDo(t, c.finish())
			requireLog(t, d, text)
		})
	}
}

// Half a record at the end of the file, as a power loss leaves it, is cut away and the log goes on.
func TestTornFileIsMended(t *testing.T) {
	for name, torn := range map[string]string{
		"half a record": "2026-01-02T15:04:05.0000", "zeros": string(make([]byte, 300)), "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			d, shim := newTestDaemon(t)
			var st logs.Stamper
			st.Set(time.Now().UnixNano())
			mustDo(t, os.MkdirAll(d.layout.Log("c"), 0o700))
			body := append(logs.AppendLine(nil, &st, logs.Stdout, []byte("whole")), torn...)
			mustDo(t, os.WriteFile(filepath.Join(d.layout.Log("c"), logs.FileName(7)), body, 0o600))
			meta, err := readMeta(d.layout.Pipe("c"))
			mustDo(t, err)
			c, err := d.load("c", meta)
			mustDo(t, err)
			fmt.Fprint(shim, "next\n")
			mustDo(t, c.finish())
			requireLog(t, d, "whole\nnext\n")
		})
	}
}

// Pieces that are too small to fill a pipe by bytes fill it by number; the container must not block on them.
func TestPipeFullOfAnUnfinishedLine(t *testing.T) {
	d, shim := newTestDaemon(t)
	meta, err := readMeta(d.layout.Pipe("c"))
	mustDo(t, err)
	c, err := d.load("c", meta)
	mustDo(t, err)
	small := int64(4096) // one page
	mustDo(t, c.streams[0].control(func(fd uintptr) error { return setPipeSize(fd, int(small)) }))
	done := make(chan error, 1)
	go func() {
		_, err := shim.Write(bytes.Repeat([]byte("u"), 10_000))
		done <- err
	}()
	select {
	case err := <-done:
		mustDo(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the container is blocked by its unfinished line")
	}
	mustDo(t, c.finish())
	var n int
	for r, err := range logs.NewClient(d.layout.RunDir, d.layout.DataDir).Read(t.Context(), "c", logs.Options{}) {
		mustDo(t, err)
		n += len(r.Line)
		if !r.Partial {
			t.Errorf("record %.20q ends a line that has no end", r.Line)
		}
	}
	if n != 10_000 {
		t.Errorf("%d bytes kept, want 10000", n)
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newTestDaemon has one prepared log "c", not loaded, and the shim's end of its stdout.
func newTestDaemon(t *testing.T) (*daemon, *os.File) {
	t.Helper()
	pk, err := newPeeker()
	mustDo(t, err)
	t.Cleanup(pk.close)
	d := &daemon{
		layout: wire.Layout{RunDir: t.TempDir(), DataDir: t.TempDir()}, log: slog.New(slog.DiscardHandler), peeker: pk,
		keep: newFDStore("", slog.New(slog.DiscardHandler)), open: map[string]*container{},
	}
	mustDo(t, prepareDir(d.layout.Pipe("c"), wire.Meta{MaxBytes: 1 << 20, MaxFiles: 5}))
	shim, err := os.OpenFile(filepath.Join(d.layout.Pipe("c"), wire.StdoutFIFO), os.O_RDWR, 0)
	mustDo(t, err)
	t.Cleanup(func() { _ = shim.Close() })
	return d, shim
}

func requireLog(t *testing.T, d *daemon, want string) {
	t.Helper()
	var got bytes.Buffer
	for r, err := range logs.NewClient(d.layout.RunDir, d.layout.DataDir).Read(t.Context(), "c", logs.Options{}) {
		mustDo(t, err)
		got.Write(r.Line)
		got.WriteByte('\n')
	}
	if got.String() != want {
		t.Errorf("kept %q, want %q", got.String(), want)
	}
}
