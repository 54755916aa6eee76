package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/appliance/compose"
	"github.com/skerryhq/skerry/raft/model"
)

// plan says what a deploy would make, without making it.
func (a *app) plan(ctx context.Context, file string, in client.AppInput) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	got, err := answer[client.Compose](c.ParseCompose(ctx, &client.ParseComposeParams{Tenant: a.tenant},
		client.ComposeInput{Source: in.Source, Name: in.Name, Env: in.Env, Files: in.Files}))
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(got)
	}
	have, err := answer[client.App](c.GetApp(ctx, in.Name, &client.GetAppParams{Tenant: a.tenant}))
	if err != nil && statusOf(err) != http.StatusNotFound {
		return err
	}
	rows := [][]string{{"SERVICE", "CHANGE", "IMAGE", "REPLICAS", "PORTS"}}
	for _, name := range sortedKeys(got.Services) {
		s := got.Services[name]
		change := "create"
		if old, ok := have.Spec.Services[name]; ok {
			change = specChange(old, s)
		}
		var ports []string
		for _, p := range s.Ports {
			ports = append(ports, compose.PortText(p))
		}
		rows = append(rows, []string{name, change, familiar(s.Container.Image), strconv.Itoa(s.Replicas), strings.Join(ports, ", ")})
	}
	for _, name := range sortedKeys(have.Spec.Services) {
		if _, ok := got.Services[name]; !ok {
			rows = append(rows, []string{name, "remove", "", "", ""})
		}
	}
	for _, p := range got.Problems {
		fmt.Fprintln(a.Stderr, problemLine(file, p))
	}
	return table(a.Stdout, rows)
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

// specChange compares what a user wrote; names and digests that the platform
// filled in do not count. Only another container replaces the running ones.
func specChange(old, fresh model.ServiceSpec) string {
	render := func(s model.ServiceSpec) string {
		text, err := compose.Render("", map[string]model.ServiceSpec{"x": s})
		if err != nil {
			return err.Error()
		}
		return text
	}
	bare := func(s model.ServiceSpec) model.ServiceSpec {
		s.Container.ImageDigest = ""
		s.Container.Image = strings.TrimPrefix(familiar(strings.TrimSuffix(s.Container.Image, ":latest")), "library/")
		s.Container.Mounts = slices.Clone(s.Container.Mounts)
		for i := range s.Container.Mounts {
			s.Container.Mounts[i].VolumeID = ""
		}
		return s
	}
	old, fresh = bare(old), bare(fresh)
	switch {
	case render(model.ServiceSpec{Container: old.Container}) != render(model.ServiceSpec{Container: fresh.Container}):
		return "replace"
	case old.Replicas != fresh.Replicas || render(old) != render(fresh):
		return "change"
	}
	return "keep"
}
