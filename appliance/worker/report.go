package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/state"
)

// ReportPath is where a member takes the commands of workers' agents: a run of
// envelopes (raft/command), each behind its length as a big-endian uint32. The
// reply is JSON, {index, outcomes}.
const ReportPath = "/peer/v1/report"

// maxReport bounds one report, in bytes.
const maxReport = command.MaxEntry

// Proposer changes the cluster's state.
type Proposer interface {
	Propose(ctx context.Context, cmds ...command.Command) (node.Result, error)
}

type reportReply struct {
	Index    uint64    `json:"index"`
	Outcomes []outcome `json:"outcomes"`
}

type outcome struct {
	Err     *model.Error      `json:"err,omitempty"`
	Refused []command.Refusal `json:"refused,omitempty"`
}

// Reporter proposes for a node without state, through a member.
type Reporter struct {
	finder *Finder
	// readError makes an error of a reply that is no success.
	readError func(*http.Response) error
}

// NewReporter makes a reporter. readError reads a refusal; it closes nothing.
func NewReporter(f *Finder, readError func(*http.Response) error) *Reporter {
	return &Reporter{finder: f, readError: readError}
}

// reportTimeout bounds one attempt at one member.
const reportTimeout = 5 * time.Second

// Propose hands commands to a member and waits until they are committed. As
// node.Propose, it gives the first refusal as the error.
func (r *Reporter) Propose(ctx context.Context, cmds ...command.Command) (node.Result, error) {
	var body []byte
	for _, c := range cmds {
		if o := c.From(); o.Time.IsZero() {
			o.Time = time.Now().UTC()
		}
		e, err := command.Encode(c)
		if err != nil {
			return node.Result{}, err
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(e))), e...)
	}
	var reply reportReply
	err := r.finder.Each(ctx, func(_ string, c *http.Client) error {
		reply = reportReply{}
		return r.send(ctx, c, body, &reply)
	})
	if err != nil {
		return node.Result{}, err
	}
	res := node.Result{Index: reply.Index}
	var first error
	for _, o := range reply.Outcomes {
		res.Outcomes = append(res.Outcomes, command.Outcome{Err: o.Err, Refused: o.Refused})
		if o.Err != nil && first == nil {
			first = o.Err
		}
	}
	return res, first
}

func (r *Reporter) send(ctx context.Context, c *http.Client, body []byte, into *reportReply) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://peer"+ReportPath, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r.readError(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReport)).Decode(into); err != nil {
		return fmt.Errorf("report: read the reply: %w", err)
	}
	return nil
}

// Reports is the member's end: it takes what a node's agent says about that node
// and nothing else.
type Reports struct {
	Proposer Proposer
	View     func() *state.View
	// Caller is the id of the node that sent a request, as its certificate says.
	Caller     func(ctx context.Context) string
	WriteError func(w http.ResponseWriter, err error)
	Log        *slog.Logger
}

// ServeHTTP takes a report.
func (r *Reports) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	caller := r.Caller(req.Context())
	cmds, err := readReport(http.MaxBytesReader(w, req.Body, maxReport))
	if err == nil {
		err = r.check(caller, cmds)
	}
	if err != nil {
		r.Log.Warn("a node's report was refused", "node", caller, "remote", req.RemoteAddr, "err", err)
		r.WriteError(w, err)
		return
	}
	res, err := r.Proposer.Propose(req.Context(), cmds...)
	if err != nil && len(res.Outcomes) == 0 {
		r.WriteError(w, err)
		return
	}
	reply := reportReply{Index: res.Index}
	for _, o := range res.Outcomes {
		reply.Outcomes = append(reply.Outcomes, plain(o))
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(reply); err != nil {
		r.Log.Debug("the reply to a report was not taken", "node", caller, "err", err)
	}
}

// plain is an outcome without the causes behind its sentences, which are for the
// member's own log and do not travel.
func plain(o command.Outcome) outcome {
	var out outcome
	if o.Err != nil {
		e := *o.Err
		e.Err = nil
		out.Err = &e
	}
	for _, r := range o.Refused {
		e := *r.Err
		e.Err = nil
		out.Refused = append(out.Refused, command.Refusal{ID: r.ID, Err: &e})
	}
	return out
}

// check lets a node speak of itself only.
func (r *Reports) check(caller string, cmds []command.Command) error {
	for _, c := range cmds {
		// Whoever reports is the author, whatever the command says.
		o := c.From()
		*o = model.Origin{Actor: "system:agent", Time: o.Time}
		about := ""
		switch c := c.(type) {
		case *command.SetNodeStatus:
			about = c.NodeID
		case *command.SetContainerStatus:
			about = c.NodeID
		case *command.ForgetContainers:
			about = c.NodeID
		case *command.PutImage:
			if r.holds(caller, c) {
				o.TenantID = c.Image.TenantID
				continue
			}
		default:
		}
		if caller == "" || about != caller {
			return model.Errorf(model.KindDenied, "not_your_business", "node %s may report about itself only, not propose %s", caller, c.Type().Name())
		}
	}
	return nil
}

// holds says whether a change of an image adds nothing but the caller to the
// nodes that hold it.
func (r *Reports) holds(caller string, c *command.PutImage) bool {
	old, ok := r.View().Image(c.Image.ID)
	if !ok || c.ExpectVersion != old.Version {
		return false
	}
	want := *old
	want.NodeIDs = append(append([]string(nil), old.NodeIDs...), caller)
	a, aerr := json.Marshal(want)
	b, berr := json.Marshal(c.Image)
	return aerr == nil && berr == nil && bytes.Equal(a, b)
}

func readReport(body io.Reader) ([]command.Command, error) {
	var out []command.Command
	for {
		var head [4]byte
		if _, err := io.ReadFull(body, head[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, malformed(err)
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxReport {
			return nil, malformed(fmt.Errorf("an envelope of %d bytes", n))
		}
		e := make([]byte, n)
		if _, err := io.ReadFull(body, e); err != nil {
			return nil, malformed(err)
		}
		c, err := command.Decode(e)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, malformed(io.ErrUnexpectedEOF)
	}
	return out, nil
}

func malformed(err error) error {
	return &model.Error{Kind: model.KindInvalid, Code: "report_invalid", Detail: "the report cannot be read", Err: err}
}
