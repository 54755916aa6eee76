package logs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("2026-01-02T15:04:05.000000000Z stdout F text"))
	f.Add([]byte("2026-01-02T15:04:05.000000000Z stderr L 12 bytes of output were lost: x"))
	f.Add([]byte("2026-13-02T15:04:05.000000000Z stdout P "))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRecord(line)
		if err != nil {
			return
		}
		var s Stamper
		s.Set(r.Time.UnixNano())
		var again []byte
		switch {
		case r.Lost > 0:
			return // the sentence is free text
		case r.Partial:
			again = AppendPartial(nil, &s, r.Stream, r.Line)
		default:
			again = AppendLine(nil, &s, r.Stream, r.Line)
		}
		if r.Time.Year() >= 1970 && r.Time.Year() < 2200 && string(again) != string(line)+"\n" {
			t.Errorf("round trip of %q gives %q", line, again)
		}
	})
}

// fixture is a log made of given lines, some of them in a file of their own.
type fixture struct {
	*Client
	dir string
	n   uint64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := NewClient(t.TempDir(), t.TempDir())
	f := &fixture{Client: c, dir: c.layout.Log("c")}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) file(t *testing.T, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, FileName(f.n)), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	f.n++
}

func (f *fixture) read(t *testing.T, o Options) string {
	t.Helper()
	var out []string
	for r, err := range f.Read(t.Context(), "c", o) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(r.Line))
	}
	return strings.Join(out, "|")
}

func at(second int, rest string) string {
	return fmt.Sprintf("2026-05-05T10:00:%02d.000000000Z %s\n", second, rest)
}

func moment(second int) time.Time { return time.Date(2026, 5, 5, 10, 0, second, 0, time.UTC) }

func TestReadChooses(t *testing.T) {
	f := newFixture(t)
	f.file(t, at(1, "stdout F a")+at(2, "stderr P b1")+at(3, "stdout F c")+at(4, "stderr F b2"))
	f.file(t, "")
	f.file(t, "no record at all\n"+at(50, "stdout F late")+at(5, "stdout F after the clock jumped back")+at(6, "stdout P tail")+"2026-05-05T10:00:07")
	all := "a|b1|c|b2|late|after the clock jumped back|tail"
	cases := map[string]struct {
		o    Options
		want string
	}{
		"everything":            {Options{}, all},
		"none":                  {Options{Tail: -1}, ""},
		"last line":             {Options{Tail: 1}, "tail"},
		"pieces make one line":  {Options{Tail: 4, Streams: []Stream{Stderr}}, "b1|b2"},
		"line with its pieces":  {Options{Tail: 1, Streams: []Stream{Stderr}}, "b1|b2"},
		"over files":            {Options{Tail: 5}, "b1|c|b2|late|after the clock jumped back|tail"},
		"more than there is":    {Options{Tail: 100}, all},
		"since":                 {Options{Since: moment(5)}, "late|after the clock jumped back|tail"},
		"until":                 {Options{Until: moment(3)}, "a|b1"},
		"window after the jump": {Options{Since: moment(5), Until: moment(10)}, "after the clock jumped back|tail"},
		"tail of the window":    {Options{Until: moment(5), Tail: 1, Streams: []Stream{Stdout}}, "c"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := f.read(t, c.o); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if got := f.read(t, Options{Streams: []Stream{Stderr}, Timestamps: true}); got != "2026-05-05T10:00:02.000000000Z b1|b2" {
		t.Errorf("with timestamps: %s", got)
	}
}

// A tail equals the end of a whole reading, whatever the lengths of lines and files.
func TestTailEqualsTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := NewClient(os.TempDir(), t.TempDir())
		dir := filepath.Join(c.layout.Logs(), "c")
		if err := os.RemoveAll(dir); err != nil {
			rt.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		var st Stamper
		st.Set(1)
		total := 0
		for i := range rapid.IntRange(1, 3).Draw(rt, "files") {
			var body []byte
			for _, n := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 50, 9_000, MaxLine}), 0, 30).Draw(rt, "lengths") {
				body = AppendLine(body, &st, Stdout, fmt.Appendf(bytes.Repeat([]byte("x"), max(0, n-6)), "%06d", total))
				total++
			}
			if err := os.WriteFile(filepath.Join(dir, FileName(uint64(i))), body, 0o600); err != nil {
				rt.Fatal(err)
			}
		}
		n := rapid.IntRange(1, 100).Draw(rt, "tail")
		next := max(0, total-n)
		for r, err := range c.Read(context.Background(), "c", Options{Tail: n}) {
			if err != nil {
				rt.Fatal(err)
			}
			if !strings.HasSuffix(string(r.Line), fmt.Sprintf("%06d", next)) {
				rt.Fatalf("got a line ending %q, want number %d", r.Line[max(0, len(r.Line)-6):], next)
			}
			next++
		}
		if next != total {
			rt.Fatalf("ended before line %d of %d", next, total)
		}
	})
}

// A follower that was overtaken by rotation goes on with what is left; one that ends by its consumer ends at once.
func TestFollowIsOvertakenAndEnds(t *testing.T) {
	f := newFixture(t)
	if err := os.MkdirAll(f.layout.Pipe("c"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.layout.Meta("c"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.file(t, at(1, "stdout F one"))
	var got []string
	for r, err := range f.Read(t.Context(), "c", Options{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(r.Line))
		switch string(r.Line) {
		case "one": // three files come and two go while the follower is still in the first
			f.file(t, at(2, "stdout F gone"))
			f.file(t, at(3, "stdout F three"))
			f.file(t, at(4, "stdout F four"))
			for seq := range uint64(2) {
				if err := os.Remove(filepath.Join(f.dir, FileName(seq))); err != nil {
					t.Fatal(err)
				}
			}
		case "four":
			if err := os.RemoveAll(f.layout.Pipe("c")); err != nil { // the log is closed
				t.Fatal(err)
			}
		}
	}
	if want := "one three four"; strings.Join(got, " ") != want {
		t.Errorf("followed %q, want %q", got, want)
	}
	if f.watch.f != nil || len(f.watch.dirs) != 0 {
		t.Error("the watch outlives its last follower")
	}
}

func TestFollowEndsAtUntilAndWithItsContext(t *testing.T) {
	f := newFixture(t)
	if err := os.MkdirAll(f.layout.Pipe("c"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.layout.Meta("c"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, err := range f.Read(t.Context(), "c", Options{Follow: true, Until: began.Add(100 * time.Millisecond)}) {
		t.Fatalf("an empty log gave something: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("until 100 ms took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	n := 0
	for _, err := range f.Read(ctx, "c", Options{Follow: true}) {
		if n++; err == nil {
			t.Fatal("an empty log gave a record")
		}
	}
	if n != 1 {
		t.Errorf("%d endings, want 1 with the context's cause", n)
	}
}

func TestCheckID(t *testing.T) {
	for id, good := range map[string]bool{"a": true, "A-1_b.c": true, "": false, ".": false, "..": false, "a/..": false, "a\n": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false} {
		if err := wire.CheckID(id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
}
