//go:build console

package ui

import "embed"

//go:embed all:dist
var dist embed.FS

var files = sub(dist, "dist")

const built = true
