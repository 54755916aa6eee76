package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
	"github.com/skerryhq/skerry/raft/model"
)

// logReader prints log lines and remembers the last moment that it printed, so
// that a second reading goes on where the first one stopped. Its methods may
// be called from several goroutines.
type logReader struct {
	a           *app
	out, errOut io.Writer
	timestamps  bool
	prefix      bool // name the container before each line
	width       int  // columns that the names take

	mu   sync.Mutex
	n    int
	last time.Time
	same map[string]int // lines printed with the time `last`
}

func newLogReader(a *app, out, errOut io.Writer) *logReader {
	return &logReader{a: a, out: out, errOut: errOut, same: map[string]int{}}
}

func (l *logReader) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// print writes one line. What was printed already is skipped when again is set.
func (l *logReader) print(line client.LogLine, again map[string]int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := line.ContainerID + "\x00" + string(line.Stream) + "\x00" + line.Line
	if line.Time.Equal(l.last) && again[id] > 0 {
		again[id]--
		return nil
	}
	if line.Time.After(l.last) {
		l.last = line.Time
		clear(l.same)
	}
	if line.Time.Equal(l.last) {
		l.same[id]++
	}
	l.n++
	w := l.out
	if line.Stream == client.LogStream("stderr") {
		w = l.errOut
	}
	text := line.Line
	if l.timestamps {
		text = line.Time.UTC().Format("2006-01-02T15:04:05.000000000Z") + " " + text
	}
	if l.prefix {
		text = line.Container + strings.Repeat(" ", max(0, l.width-wide.StringWidth(line.Container))) + " | " + text
	}
	if !line.Partial {
		text += "\n"
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	return nil
}

// read prints the lines of an open stream.
func (l *logReader) read(resp *http.Response, again map[string]int, before time.Time) error {
	defer resp.Body.Close()
	return events(resp.Body, func(name, data string) error {
		switch name {
		case "log":
			var line client.LogLine
			if err := json.Unmarshal([]byte(data), &line); err != nil {
				return fmt.Errorf("the server's answer cannot be read: %w", err)
			}
			if line.Time.Before(before) {
				return nil
			}
			return l.print(line, again)
		case "problem":
			r := &refusal{}
			if err := json.Unmarshal([]byte(data), &r.Problem); err != nil {
				return fmt.Errorf("the server's answer cannot be read: %w", err)
			}
			return r
		}
		return nil
	})
}

// follow prints the log of one container from its first line on.
func (l *logReader) follow(ctx context.Context, ct model.Container) error {
	c, err := l.a.connect()
	if err != nil {
		return err
	}
	resp, err := streamed(c.ContainerLogs(ctx, ct.ID, &client.ContainerLogsParams{Tenant: ct.TenantID, Follow: true}, sse))
	if err != nil {
		return err
	}
	return l.read(resp, nil, time.Time{})
}

// rest reads what was kept behind the last line that was printed, and gives
// the exit status. streamErr is how the first reading ended.
func (l *logReader) rest(ctx context.Context, ct model.Container, r client.WaitResult, streamErr error) (int, error) {
	c, err := l.a.connect()
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	p := &client.ContainerLogsParams{Tenant: ct.TenantID}
	before, again := l.last, l.same
	l.same = map[string]int{}
	for k, v := range again {
		l.same[k] = v
	}
	l.mu.Unlock()
	if !before.IsZero() {
		p.Since = before.Add(-time.Millisecond).UTC().Format(time.RFC3339Nano)
	}
	if !r.Removed {
		resp, err := streamed(c.ContainerLogs(ctx, ct.ID, p, sse))
		if err == nil {
			err = l.read(resp, again, before)
		}
		if err != nil && statusOf(err) != http.StatusNotFound {
			return 0, fmt.Errorf("read the end of the log: %w", err)
		}
	} else if streamErr != nil && statusOf(streamErr) != http.StatusNotFound {
		return 0, fmt.Errorf("read the log: %w", streamErr)
	}
	if r.ExitCode != nil {
		switch {
		case *r.ExitCode != 0 && len(r.Conditions) > 0:
			l.a.complain(r.Conditions)
		case r.OomKilled:
			fmt.Fprintln(l.a.Stderr, "skerry: "+l.a.say("oom", ct.Name))
		}
		return *r.ExitCode, nil
	}
	for _, cond := range r.Conditions {
		return 0, errors.New(cond.Message)
	}
	return 0, fmt.Errorf("%s did not start: look at `skerry event`", ct.Name)
}

// complain writes why an object is not as asked.
func (a *app) complain(conditions []model.Condition) {
	for _, c := range conditions {
		fmt.Fprintln(a.Stderr, "skerry: "+c.Message)
	}
}

func (a *app) logCommands() []*cobra.Command {
	var o logFlags
	c := a.Command("logs [flags] NAME", "logs", func(cmd *cobra.Command, args []string) error {
		q, err := o.query()
		if err != nil {
			return err
		}
		return a.logs(cmd.Context(), args[0], q)
	})
	c.Args = a.exactly(1)
	o.add(a, c)
	c.ValidArgsFunction = a.complete(a.containerNames, a.appNames, a.serviceNames)
	return []*cobra.Command{c}
}

// logFlags are the flags of a log command.
type logFlags struct {
	follow, timestamps bool
	since, until, tail string
}

func (o *logFlags) add(a *app, c *cobra.Command) {
	f := c.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, a.say("flag.follow"))
	f.BoolVarP(&o.timestamps, "timestamps", "t", false, a.say("flag.timestamps"))
	f.StringVar(&o.since, "since", "", a.say("flag.since"))
	f.StringVar(&o.until, "until", "", a.say("flag.until"))
	f.StringVarP(&o.tail, "tail", "n", "all", a.say("flag.tail"))
}

// query checks the flags.
func (o *logFlags) query() (client.ContainerLogsParams, error) {
	q := client.ContainerLogsParams{Follow: o.follow, Since: o.since, Until: o.until, Timestamps: o.timestamps}
	if o.tail != "all" && o.tail != "" {
		n, err := strconv.Atoi(o.tail)
		if err != nil || n < 0 {
			return q, usagef("--tail %s: write a number of lines or all", o.tail)
		}
		q.Tail = &n
	}
	return q, nil
}

// logs prints the log of a container, or of every container of an app or a
// service, merged by time.
func (a *app) logs(ctx context.Context, word string, q client.ContainerLogsParams) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	q.Tenant = a.tenant
	l := newLogReader(a, a.Stdout, a.Stderr)
	l.timestamps = q.Timestamps
	q.Timestamps = false // the stream carries times itself
	all, err := a.containers(ctx)
	if err != nil {
		return err
	}
	var resp *http.Response
	of, kind := logSource(all, word)
	for _, ct := range all {
		if ct.AppID == of || ct.ServiceID == of {
			l.width = max(l.width, wide.StringWidth(ct.Name))
		}
	}
	switch kind {
	case "app":
		l.prefix = true
		p := client.AppLogsParams(q)
		resp, err = streamed(c.AppLogs(ctx, of, &p, sse))
	case "service":
		l.prefix = true
		p := client.ServiceLogsParams(q)
		resp, err = streamed(c.ServiceLogs(ctx, of, &p, sse))
	default:
		var ct model.Container
		if ct, err = a.container(ctx, word); err != nil {
			return err
		}
		resp, err = streamed(c.ContainerLogs(ctx, ct.ID, &q, sse))
	}
	if err != nil {
		return err
	}
	return l.read(resp, nil, time.Time{})
}

// logSource says whether a word names an app or a service of several
// containers; then their logs are merged.
func logSource(all []model.Container, word string) (string, string) {
	byApp, byService := map[string]int{}, map[string]int{}
	appID, serviceID := "", ""
	for _, c := range all {
		switch {
		case c.Name == word || c.ID == word:
			return "", "container"
		case c.AppName == word:
			byApp[c.AppID]++
			appID = c.AppID
		case c.AppName+"."+c.ServiceName == word:
			byService[c.ServiceID]++
			serviceID = c.ServiceID
		}
	}
	switch {
	case byApp[appID] > 1:
		return appID, "app"
	case byService[serviceID] > 1:
		return serviceID, "service"
	}
	return "", "container"
}
