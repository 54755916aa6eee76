package logd

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/runtime/logs"
)

// restore turns records back into raw output.
func restore(t interface{ Fatalf(string, ...any) }, records []byte, want logs.Stream) []byte {
	var raw []byte
	for len(records) > 0 {
		line, rest, ok := bytes.Cut(records, []byte("\n"))
		if !ok {
			t.Fatalf("last record has no newline: %q", line)
		}
		records = rest
		r, err := logs.ParseRecord(line)
		if err != nil {
			t.Fatalf("record %q: %v", line, err)
		}
		if r.Stream != want {
			t.Fatalf("record %q: stream %v, want %v", line, r.Stream, want)
		}
		if len(r.Line) > logs.MaxLine {
			t.Fatalf("record of %d bytes", len(r.Line))
		}
		raw = append(raw, r.Line...)
		if !r.Partial {
			raw = append(raw, '\n')
		}
	}
	return raw
}

func TestCut(t *testing.T) {
	long := bytes.Repeat([]byte("x"), logs.MaxLine)
	cases := map[string]struct {
		raw   []byte
		flush bool
		used  int
		tags  string
	}{
		"nothing":                 {raw: nil, used: 0},
		"one line":                {raw: []byte("a\n"), used: 2, tags: "F"},
		"empty line":              {raw: []byte("\n"), used: 1, tags: "F"},
		"unfinished stays":        {raw: []byte("a\nbc"), used: 2, tags: "F"},
		"unfinished is flushed":   {raw: []byte("a\nbc"), flush: true, used: 4, tags: "FP"},
		"longest whole line":      {raw: append(bytes.Clone(long), '\n'), used: len(long) + 1, tags: "F"},
		"longest unfinished":      {raw: long, used: 0},
		"too long":                {raw: append(bytes.Clone(long), "yz\n"...), used: len(long) + 3, tags: "PF"},
		"carriage return is text": {raw: []byte("a\r\n"), used: 3, tags: "F"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var st logs.Stamper
			st.Set(time.Now().UnixNano())
			records, used := cut(nil, &st, logs.Stderr, c.raw, c.flush, batchOut)
			if used != c.used {
				t.Errorf("used %d bytes, want %d", used, c.used)
			}
			if got := restore(t, records, logs.Stderr); !bytes.Equal(got, c.raw[:used]) {
				t.Errorf("restored %.60q, want %.60q", got, c.raw[:used])
			}
			var tags []byte
			for line := range bytes.SplitSeq(bytes.TrimSuffix(records, []byte("\n")), []byte("\n")) {
				if len(line) > 0 {
					tags = append(tags, line[len("2006-01-02T15:04:05.000000000Z stdout ")])
				}
			}
			if string(tags) != c.tags {
				t.Errorf("tags %s, want %s", tags, c.tags)
			}
		})
	}
}

// However output arrives and wherever batches end, the file restores exactly what was written.
func TestCutRestores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.OneOf(
			rapid.SliceOfN(rapid.SampledFrom([]byte("ab\n\r ")), 0, 40),
			rapid.Map(rapid.IntRange(0, 3*logs.MaxLine), func(n int) []byte { return bytes.Repeat([]byte("l"), n) }),
		), 1, 12).Draw(t, "pieces")
		tty := rapid.Bool().Draw(t, "tty")
		limit := rapid.IntRange(1, batchOut).Draw(t, "limit")
		var st logs.Stamper
		var written, pipe, restored []byte
		last := ""
		for i, p := range pieces {
			written = append(written, p...)
			pipe = append(pipe, p...)
			st.Set(time.Now().UnixNano())
			for {
				records, used := cut(nil, &st, logs.Stdout, pipe, tty || i == len(pieces)-1, limit)
				if used == 0 {
					break
				}
				for line := range bytes.SplitSeq(bytes.TrimSuffix(records, []byte("\n")), []byte("\n")) {
					if stamp := string(line[:30]); stamp <= last {
						t.Fatalf("stamp %s after %s", stamp, last)
					} else {
						last = stamp
					}
				}
				restored = append(restored, restore(t, records, logs.Stdout)...)
				pipe = pipe[used:]
			}
		}
		if !bytes.Equal(restored, written) {
			t.Fatalf("restored %d bytes, written %d", len(restored), len(written))
		}
	})
}

func TestStamperFollowsTheClock(t *testing.T) {
	var st logs.Stamper
	stamp := func(now int64) time.Time {
		st.Set(now)
		r, err := logs.ParseRecord(bytes.TrimSuffix(logs.AppendLine(nil, &st, logs.Stdout, nil), []byte("\n")))
		if err != nil {
			t.Fatal(err)
		}
		return r.Time
	}
	base := time.Date(2026, 3, 1, 12, 0, 0, 999_999_999, time.UTC)
	if got := stamp(base.UnixNano()); !got.Equal(base) {
		t.Errorf("first stamp %v, want %v", got, base)
	}
	if got, want := stamp(base.UnixNano()), base.Add(1); !got.Equal(want) {
		t.Errorf("same instant again: %v, want %v", got, want)
	}
	back := base.Add(-time.Hour)
	if got := stamp(back.UnixNano()); !got.Equal(back) {
		t.Errorf("clock back by an hour: %v, want %v", got, back)
	}
}
