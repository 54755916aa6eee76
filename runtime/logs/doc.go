// Package logs reads what containers wrote and is the client of the log daemon (package logd below it), which owns
// their pipes. It defines the record and the form of the files.
//
// Reading kept output opens the files directly and needs no daemon; following is woken by the kernel. Opening,
// closing, removing and attaching go through the daemon's socket and wait a few seconds for a daemon that is being
// restarted.
//
// It never decides which container may be read by whom: its callers, the node's agent and the API, do.
//
// A container's log is a folder with numbered files of text, one record a line:
//
//	2026-01-02T15:04:05.000000000Z stdout F a whole line
//	2026-01-02T15:04:05.000000001Z stderr P a piece of a line, without its end
//	2026-01-02T15:04:05.000000002Z stdout L 4096 bytes of output were lost: no space left on device
//
// All methods of Client may be called from any goroutine.
package logs
