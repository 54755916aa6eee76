package ctrd

import (
	"testing"
)

func TestSamplerParses(t *testing.T) {
	v1 := "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:16 Read 1\n8:16 Write 2\nTotal 303\n"
	if r, w := blockBytes([]byte(v1), false); r != 101 || w != 202 {
		t.Errorf("v1: %d %d", r, w)
	}
	v2 := "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=0\n"
	if r, w := blockBytes([]byte(v2), true); r != 101 || w != 202 {
		t.Errorf("v2: %d %d", r, w)
	}
	stat := "cache 5\ninactive_file 7\ntotal_inactive_file 9\n"
	if valueOf([]byte(stat), "total_inactive_file ") != 9 || valueOf([]byte(stat), "inactive_file ") != 7 || valueOf([]byte(stat), "none ") != 0 {
		t.Error("memory.stat is read wrongly")
	}
	if digits([]byte("12\n")) != 12 || digits([]byte("max\n")) != 0 || digits(nil) != 0 {
		t.Error("numbers are read wrongly")
	}
}
