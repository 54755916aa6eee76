package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// isTerminal says whether v is a terminal that a person looks at.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printJSON writes a value as the API gave it.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// list prints a list as JSON, as names, or as a table.
func list[T any](a *app, items []T, quiet bool, name func(T) string, header []string, row func(T) []string) error {
	if a.json {
		return a.printJSON(page[T]{Items: items})
	}
	if quiet {
		for _, i := range items {
			fmt.Fprintln(a.Stdout, name(i))
		}
		return nil
	}
	rows := [][]string{header}
	for _, i := range items {
		rows = append(rows, row(i))
	}
	return table(a.Stdout, rows)
}

// one prints an object as JSON, or a short word for people.
func (a *app) one(v any, words string) error {
	if a.json {
		return a.printJSON(v)
	}
	if words != "" {
		fmt.Fprintln(a.Stdout, words)
	}
	return nil
}

// wide measures text in columns; East Asian wide characters take two,
// whatever the locale says about ambiguous ones.
var wide = &runewidth.Condition{EastAsianWidth: false}

// table writes rows in aligned columns, two spaces apart. Control characters,
// which a name or an image label could smuggle in, are shown as `?`.
func table(w io.Writer, rows [][]string) error {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			r[i] = printable(cell)
			widths[i] = max(widths[i], wide.StringWidth(r[i]))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			line.WriteString(cell)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-wide.StringWidth(cell)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printable(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// details prints label and value lines.
func (a *app) details(pairs ...string) error {
	var rows [][]string
	for i := 0; i+1 < len(pairs); i += 2 {
		rows = append(rows, []string{pairs[i], pairs[i+1]})
	}
	return table(a.Stdout, rows)
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	switch {
	case i == 0:
		return strconv.FormatInt(n, 10) + " B"
	case f < 10:
		return strconv.FormatFloat(f, 'f', 1, 64) + " " + units[i]
	}
	return strconv.FormatFloat(f, 'f', 0, 64) + " " + units[i]
}

// age writes how long ago t was, in the largest unit that says something.
func age(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := max(0, now.Sub(t))
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
