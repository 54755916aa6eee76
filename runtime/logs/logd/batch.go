package logd

import (
	"bytes"

	"github.com/skerryhq/skerry/runtime/logs"
)

// batchOut bounds the text of one batch in bytes; very short lines grow more than forty times when they become records.
const batchOut = 256 << 10

// cut turns raw output into records. It appends them to dst and says how many raw bytes they hold; the rest is
// the beginning of a line and stays in the pipe, so nothing that a crash could lose is held in memory.
//
// With a terminal nothing is held back. With flush the unfinished line at the end becomes a partial record.
// cut stops early when the records reach limit bytes.
func cut(dst []byte, st *logs.Stamper, stream logs.Stream, raw []byte, flush bool, limit int) (records []byte, used int) {
	base := len(dst)
	for used < len(raw) && len(dst)-base < limit {
		rest := raw[used:]
		window := rest
		if len(window) > logs.MaxLine+1 {
			window = window[:logs.MaxLine+1]
		}
		end := bytes.IndexByte(window, '\n')
		switch {
		case end >= 0:
			dst = logs.AppendLine(dst, st, stream, rest[:end])
			used += end + 1
		case len(rest) > logs.MaxLine:
			dst = logs.AppendPartial(dst, st, stream, rest[:logs.MaxLine])
			used += logs.MaxLine
		case flush:
			dst = logs.AppendPartial(dst, st, stream, rest)
			used += len(rest)
		default:
			return dst, used
		}
	}
	return dst, used
}
