// Package ui owns the console: the React program under src, and the bytes of it that are embedded in the daemon.
//
// It holds files and nothing else: it serves none, and knows no API, no session and no state. The composition root hands FS to
// the API server, which serves it at "/". Everything here is read-only, so it is safe for any number of goroutines.
//
// A build with the tag "console" embeds dist, which `npm run build` makes; a build without it embeds a placeholder page, so
// that `go build ./...` and `go test ./...` work on a clean checkout without Node.js.
package ui

import "io/fs"

// FS returns the console's files, rooted where index.html is. Text files of 1 KiB and more have their compressed twins
// (".gz", ".br") beside them when the real console is embedded.
func FS() fs.FS { return files }

// Built tells whether the real console is embedded, and not the placeholder.
func Built() bool { return built }

// sub is fs.Sub for an embedded folder whose name is a constant, where failure is a broken build and not a condition.
func sub(fsys fs.FS, dir string) fs.FS {
	root, err := fs.Sub(fsys, dir)
	if err != nil {
		panic("ui: embedded folder " + dir + ": " + err.Error())
	}
	return root
}
