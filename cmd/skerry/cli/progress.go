package cli

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// progress draws the steps of long work, one line for each id, on a terminal
// only: elsewhere it says nothing.
type progress struct {
	a     *app
	order []string
	steps map[string]client.Progress
	drawn int // lines on the screen
}

func (a *app) newProgress() *progress {
	return &progress{a: a, steps: map[string]client.Progress{}}
}

func (p *progress) step(s client.Progress) {
	if !p.a.terminal || p.a.json {
		return
	}
	if _, ok := p.steps[s.ID]; !ok {
		p.order = append(p.order, s.ID)
	}
	p.steps[s.ID] = s
	p.draw()
}

// draw rewrites the last lines. Only the newest few are shown, so that they
// always fit the screen.
func (p *progress) draw() {
	width, height := 80, 24
	if f, ok := p.a.Stderr.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			width, height = w, h
		}
	}
	shown := p.order
	if most := max(1, min(height-2, 16)); len(shown) > most {
		shown = shown[len(shown)-most:]
	}
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, id := range shown {
		b.WriteString("\r\x1b[K" + wide.Truncate(stepText(p.a, p.steps[id]), max(10, width-1), "") + "\n")
	}
	for i := len(shown); i < p.drawn; i++ {
		b.WriteString("\r\x1b[K\n")
	}
	p.drawn = max(p.drawn, len(shown))
	fmt.Fprint(p.a.Stderr, b.String())
}

// end takes the lines off the screen, so that what is written next stands
// alone.
func (p *progress) end() {
	if p.drawn > 0 {
		fmt.Fprintf(p.a.Stderr, "\x1b[%dA\r\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func stepText(a *app, s client.Progress) string {
	what := s.ID
	if hex, ok := strings.CutPrefix(what, "sha256:"); ok {
		what = short(hex)
	}
	text := "  " + printable(what) + "  " + firstOf(a.maybe("step."+s.Step), s.Step)
	switch {
	case s.Total > 0 && s.Current >= 0:
		filled := int(min(s.Current, s.Total) * 20 / s.Total)
		text += " [" + strings.Repeat("=", filled) + strings.Repeat(" ", 20-filled) + "] " + size(s.Current) + " / " + size(s.Total)
	case s.Current > 0:
		text += " " + size(s.Current)
	}
	if s.Message != "" {
		text += "  " + printable(s.Message)
	}
	return text
}
