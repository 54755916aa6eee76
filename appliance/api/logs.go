package api

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/model"
)

// logParams are the parameters that the three log operations share.
type logParams struct {
	follow, timestamps bool
	since, until       string
	tail               *int
	streams            []LogStream
	search             string
}

// ContainerLogs reads one container's log.
func (s *Server) ContainerLogs(c *gin.Context, ref Ref, q ContainerLogsParams) {
	r := of(c)
	o, err := r.view.FindContainer(r.scope, ref)
	s.logs(c, []*model.Container{o}, err, logParams{q.Follow, q.Timestamps, q.Since, q.Until, q.Tail, q.Streams, q.Search})
}

// ServiceLogs reads the logs of a service's containers.
func (s *Server) ServiceLogs(c *gin.Context, ref ServiceRef, q ServiceLogsParams) {
	r, all := of(c), []*model.Container(nil)
	svc, err := findService(r.view, r.scope, ref)
	if err == nil {
		for o := range r.view.ContainersOfService(svc.ID) {
			all = append(all, o)
		}
	}
	s.logs(c, all, err, logParams{q.Follow, q.Timestamps, q.Since, q.Until, q.Tail, q.Streams, q.Search})
}

// AppLogs reads the logs of an app's containers.
func (s *Server) AppLogs(c *gin.Context, ref Ref, q AppLogsParams) {
	r, all := of(c), []*model.Container(nil)
	a, err := r.view.FindApp(r.scope, ref)
	if err == nil {
		for o := range r.view.ContainersOfApp(a.ID) {
			all = append(all, o)
		}
	}
	s.logs(c, all, err, logParams{q.Follow, q.Timestamps, q.Since, q.Until, q.Tail, q.Streams, q.Search})
}

// query checks the parameters.
func (p logParams) query(now time.Time) (LogQuery, error) {
	q := LogQuery{Follow: p.follow, Tail: -1, Search: p.search, Stdout: len(p.streams) == 0, Stderr: len(p.streams) == 0}
	for _, name := range p.streams {
		switch name {
		case LogStreamStdout:
			q.Stdout = true
		case LogStreamStderr:
			q.Stderr = true
		default:
			return q, invalid("stream_unknown", "%q is no stream; use stdout or stderr", name).At("streams")
		}
	}
	if p.tail != nil {
		if q.Tail = *p.tail; q.Tail < 0 {
			return q, invalid("tail_invalid", "tail is %d; use 0 or more lines", q.Tail).At("tail")
		}
	}
	var err error
	if q.Since, err = moment("since", p.since, now); err == nil {
		q.Until, err = moment("until", p.until, now)
	}
	return q, err
}

func (s *Server) logs(c *gin.Context, of []*model.Container, err error, p logParams) {
	q, qerr := p.query(time.Now())
	if err == nil {
		err = qerr
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	if accepts(c, mediaSSE) {
		st := s.stream(c, mediaSSE)
		st.begin()
		stop := s.keepAlive(st)
		err = s.runtime.Logs(c.Request.Context(), of, q, func(l LogLine) error { return st.send("log", "", l) })
		stop()
		s.end(st, struct{}{}, err)
		return
	}
	s.plainLogs(c, of, q, p.timestamps)
}

// plainLogs writes the lines as text; with several containers each line begins
// with its container's name.
func (s *Server) plainLogs(c *gin.Context, of []*model.Container, q LogQuery, timestamps bool) {
	st := s.stream(c, "text/plain; charset=utf-8")
	var page bytes.Buffer // lines of the past are sent in pieces, those that follow at once
	flush := func() error {
		if page.Len() == 0 {
			return nil
		}
		_, err := st.Write(page.Bytes())
		page.Reset()
		return err
	}
	err := s.runtime.Logs(c.Request.Context(), of, q, func(l LogLine) error {
		if timestamps {
			page.WriteString(l.Time.UTC().Format("2006-01-02T15:04:05.000000000Z "))
		}
		if len(of) > 1 {
			page.WriteString(l.Container + " | ")
		}
		page.WriteString(l.Line)
		if !l.Partial {
			page.WriteByte('\n')
		}
		if q.Follow || page.Len() >= 32<<10 {
			return flush()
		}
		return nil
	})
	if ferr := flush(); err == nil {
		err = ferr
	}
	switch {
	case err != nil && !st.begun:
		s.fail(c, err)
	case err != nil:
		_ = c.Error(err)
	default:
		st.begin()
	}
}

// ContainerStats measures a container.
func (s *Server) ContainerStats(c *gin.Context, ref Ref, _ ContainerStatsParams) {
	r := of(c)
	o, err := r.view.FindContainer(r.scope, ref)
	if err == nil && o.Status.Phase != model.PhaseRunning {
		err = notRunning(o)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.measure(c, func() (any, error) { return s.runtime.Stats(c.Request.Context(), o) })
}

// NodeStats measures a node.
func (s *Server) NodeStats(c *gin.Context, ref Ref) {
	n, err := of(c).view.FindNode(ref)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.measure(c, func() (any, error) { return s.runtime.NodeStats(c.Request.Context(), n) })
}

// measure answers with one measurement, or one every second as events until
// the client goes or a measurement fails.
func (s *Server) measure(c *gin.Context, once func() (any, error)) {
	if !accepts(c, mediaSSE) {
		v, err := once()
		s.reply(c, http.StatusOK, v, err)
		return
	}
	st := s.stream(c, mediaSSE)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		v, err := once()
		if err != nil {
			s.end(st, nil, err)
			return
		}
		if st.send("stats", "", v) != nil {
			return
		}
		select {
		case <-c.Request.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// contains is a filter on names, whatever the letters' case.
func contains(name, part string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(part))
}
