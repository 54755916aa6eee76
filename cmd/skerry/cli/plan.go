package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// plan says what a deploy would make, without making it.
func (a *app) plan(ctx context.Context, file string, in client.AppInput) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	got, err := answer[client.AppPlan](c.PlanApp(ctx, &client.PlanAppParams{Tenant: a.tenant}, in))
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(got)
	}
	for _, p := range got.Problems {
		fmt.Fprintln(a.Stderr, problemLine(file, p))
	}
	rows := [][]string{{"SERVICE", "CHANGE", "CONTAINERS", "REPLACED", "WHAT"}}
	for _, s := range got.Services {
		count := strconv.Itoa(s.ContainersAfter)
		if s.ContainersBefore != s.ContainersAfter {
			count = fmt.Sprintf("%d -> %d", s.ContainersBefore, s.ContainersAfter)
		}
		rows = append(rows, []string{s.Name, string(s.Action), count, strconv.Itoa(s.ContainersReplaced), strings.Join(a.planNotes(s), "; ")})
	}
	if err := table(a.Stdout, rows); err != nil {
		return err
	}
	for _, name := range got.VolumesCreated {
		fmt.Fprintln(a.Stdout, a.say("plan.volume-new", name))
	}
	for _, name := range got.VolumesUnused {
		fmt.Fprintln(a.Stdout, a.say("plan.volume-unused", name))
	}
	return nil
}

// planNotes are the fields of a service that change, in words.
func (a *app) planNotes(s client.PlanService) []string {
	var out []string
	if s.ImageToFetch != "" {
		out = append(out, a.say("plan.fetches", familiar(s.ImageToFetch)))
	}
	for _, f := range s.Fields {
		name := strings.TrimPrefix(f.Path, "container.")
		switch {
		case name == "imageDigest":
		case f.Before == "":
			out = append(out, fmt.Sprintf("%s = %s", name, printable(clipped(f.After))))
		case f.After == "":
			out = append(out, a.say("plan.removed", name))
		default:
			out = append(out, fmt.Sprintf("%s %s -> %s", name, printable(clipped(familiar(f.Before))), printable(clipped(familiar(f.After)))))
		}
	}
	return out
}

// clipped keeps one long value from filling the table.
func clipped(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// composeProblems says everything that is wrong with a compose file, one line
// for each problem; other errors pass.
func (a *app) composeProblems(file string, err error) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok || len(r.Problems) == 0 {
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(a.Stderr, problemLine(file, p))
	}
	return exitStatus(1)
}

// problemLine begins with the place as editors and terminals understand it.
func problemLine(file string, p client.ComposeProblem) string {
	text := file
	if p.Line > 0 {
		text += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	if p.Path != "" {
		text += ": " + p.Path
	}
	return text + ": " + printable(p.Message)
}
