//go:build !console

package ui

import "embed"

//go:embed placeholder
var placeholder embed.FS

var files = sub(placeholder, "placeholder")

const built = false
