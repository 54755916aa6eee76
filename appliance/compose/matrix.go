package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Matrix writes docs/compose.md from the table. Equal tables give equal text.
func Matrix() string {
	var b strings.Builder
	b.WriteString("# Compose support\n\n")
	b.WriteString("This page is generated from `appliance/compose/table.go`; a test fails when it is not current.\n\n")
	b.WriteString("One compose file describes one app. A key that is not supported is refused by name with its line and column, never ignored. ")
	b.WriteString("`${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`, `${NAME:+other}` and `$$` are filled in from the client's environment and `.env`; ")
	b.WriteString("a variable that is not set and has no default is refused. YAML anchors, aliases, `<<` and keys that begin with `x-` work as usual.\n\n")
	fmt.Fprintf(&b, "Bounds: %s of text, %s for one env file, %d services, %d published ports, %d replicas of a service.\n\n", bytesText(MaxSource), bytesText(MaxFile), maxServices, maxPorts, MaxReplicas)
	b.WriteString("## Supported\n\n| key | value | note |\n|---|---|---|\n")
	for _, k := range table {
		if strings.HasSuffix(k.path, "[]") || strings.HasSuffix(k.path, ".*") && k.note == "" {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.path, strings.ReplaceAll(shapeText(k.shape&^shapeNull), "|", "\\|"), k.note)
	}
	b.WriteString("\n## Refused\n\n| key | what to do |\n|---|---|\n")
	refused := map[string]string{}
	for place, words := range composeKeys {
		for name := range strings.FieldsSeq(words) {
			if full := join(place, name); keys[full].path == "" {
				refused[full] = instead[full]
			}
		}
	}
	for full, to := range instead {
		refused[full] = to
	}
	for _, full := range slices.Sorted(maps.Keys(refused)) {
		to := refused[full]
		if to == "" {
			to = "remove it"
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", full, to)
	}
	return b.String()
}
