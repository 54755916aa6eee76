package noderuntime

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/raft/model"
)

var unixEpoch = time.Unix(1, 0)

// Holdings says what is assigned to this node; on a member the state knows it, on
// a worker its view.
type Holdings struct {
	Container func(id string) bool
	Volume    func(id string) bool
}

// HandlerConfig is what a Handler answers with; every field is required.
type HandlerConfig struct {
	NodeID string
	Local  *Local
	Holds  Holdings
	Log    *slog.Logger
}

// Handler answers other nodes what they ask about this one, below Prefix. Whoever
// mounts it lets members only in: who may see what was decided by the one that
// asks. It answers for containers and volumes that are assigned to this node only.
type Handler struct {
	cfg HandlerConfig
	log *slog.Logger
	ops map[string]func(http.ResponseWriter, *http.Request, *ask) error
}

// NewHandler makes a Handler.
func NewHandler(cfg HandlerConfig) *Handler {
	h := &Handler{cfg: cfg, log: cfg.Log.With("component", "noderuntime")}
	h.ops = map[string]func(http.ResponseWriter, *http.Request, *ask) error{
		"logs": h.logs, "exec": h.exec, "attach": h.attach, "signal": h.signal, "stats": h.stats,
		"path": h.path, "archive/read": h.readArchive, "archive/write": h.writeArchive, "commit": h.commit,
		"files/list": h.listFiles, "files/read": h.readFile, "files/write": h.writeFile, "files/remove": h.removeFile, "files/folder": h.makeFolder,
		"metrics/container": h.containerMetrics, "metrics/service": h.serviceMetrics, "metrics/node": h.nodeMetrics, "node": h.nodeStats,
		"images/config": h.imageConfig, "images/export": h.exportImage, "volume": h.volumeUsage,
	}
	return h
}

// ServeHTTP answers one question.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	op, ok := strings.CutPrefix(req.URL.Path, Prefix)
	do := h.ops[op]
	if !ok || do == nil || req.Method != http.MethodPost {
		peer.WriteError(w, model.Errorf(model.KindNotFound, "unknown_question", "this node does not know the question %s; its version may be older", op))
		return
	}
	w.WriteHeader(http.StatusEarlyHints) // the sign of life
	a := &ask{}
	var err error
	if op != "exec" && op != "attach" {
		if err = decodeHeader(req.Header.Get(headerAsk), a); err == nil {
			err = h.here(a)
		}
	}
	if err == nil {
		err = do(w, req, a)
	}
	if err != nil {
		if model.KindOf(err) == model.KindInternal && !errors.Is(err, context.Canceled) {
			h.log.Warn("a question of another node failed", "op", op, "err", err)
		}
		peer.WriteError(w, err)
	}
}

// here refuses what is not this node's.
func (h *Handler) here(a *ask) error {
	if c := a.Container; c != nil && !h.cfg.Holds.Container(c.ID) {
		return model.Errorf(model.KindConflict, "container_not_ready", "the container %s is not on its node yet, or not any more; try again", c.Name)
	}
	if v := a.Volume; v != nil && !h.cfg.Holds.Volume(v.ID) {
		return model.Errorf(model.KindConflict, "volume_not_here", "the volume %s is not on its node yet, or not any more; try again", v.Name)
	}
	return nil
}

// needs refuses a question that lacks what it is about.
func needs(ok bool) error {
	if !ok {
		return model.Errorf(model.KindInvalid, "invalid", "the question does not say what it is about")
	}
	return nil
}

func answerJSON(w http.ResponseWriter, v any, err error) error {
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone if it fails
	return nil
}

func (h *Handler) logs(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil && a.Query != nil); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctl := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = ctl.Flush()
	out := json.NewEncoder(w)
	for line, err := range h.cfg.Local.ReadLog(req.Context(), a.Container, *a.Query) {
		if err != nil {
			_ = out.Encode(logItem{Error: new(peer.ProblemOf(err))})
			return nil
		}
		if out.Encode(logItem{Line: &line}) != nil {
			return nil // whoever asked is gone
		}
		if a.Query.Follow {
			_ = ctl.Flush()
		}
	}
	_ = out.Encode(logItem{End: true})
	return nil
}

func (h *Handler) exec(w http.ResponseWriter, req *http.Request, _ *ask) error {
	return h.terminal(w, req, func(ctx context.Context, a *ask, s api.Streams) (int, error) {
		if err := needs(a.Container != nil && a.Exec != nil); err != nil {
			return 0, err
		}
		return h.cfg.Local.Exec(ctx, a.Container, *a.Exec, s)
	})
}

func (h *Handler) attach(w http.ResponseWriter, req *http.Request, _ *ask) error {
	return h.terminal(w, req, func(ctx context.Context, a *ask, s api.Streams) (int, error) {
		if err := needs(a.Container != nil); err != nil {
			return 0, err
		}
		return 0, h.cfg.Local.Attach(ctx, a.Container, a.Stdin, s)
	})
}

func (h *Handler) signal(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil); err != nil {
		return err
	}
	return answerJSON(w, nothing{}, h.cfg.Local.Signal(req.Context(), a.Container, a.Signal))
}

func (h *Handler) stats(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.Stats(req.Context(), a.Container)
	return answerJSON(w, out, err)
}

func (h *Handler) path(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.StatPath(req.Context(), a.Container, string(a.Path))
	return answerJSON(w, out, err)
}

// stream answers with a head and the bytes of body. What breaks off here breaks
// off there: the connection's stream is reset.
func (h *Handler) stream(w http.ResponseWriter, head any, body io.Reader) error {
	if head != nil {
		text, err := encodeHeader(head)
		if err != nil {
			return err
		}
		w.Header().Set(headerSaid, text)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, make([]byte, 128<<10)); err != nil {
		h.log.Debug("an answer to another node broke off", "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (h *Handler) readArchive(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil); err != nil {
		return err
	}
	stat, tar, err := h.cfg.Local.ReadArchive(req.Context(), a.Container, string(a.Path))
	if err != nil {
		return err
	}
	defer tar.Close()
	return h.stream(w, stat, tar)
}

func (h *Handler) writeArchive(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil); err != nil {
		return err
	}
	return answerJSON(w, nothing{}, h.cfg.Local.WriteArchive(req.Context(), a.Container, string(a.Path), req.Body))
}

func (h *Handler) commit(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil && a.Commit != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.Commit(req.Context(), a.Container, *a.Commit)
	return answerJSON(w, out, err)
}

func (h *Handler) listFiles(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil || a.Volume != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.ListFiles(req.Context(), a.place(), string(a.Path))
	return answerJSON(w, out, err)
}

func (h *Handler) readFile(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil || a.Volume != nil); err != nil {
		return err
	}
	return h.cfg.Local.ReadFile(req.Context(), a.place(), string(a.Path), func(e api.FileEntry, f io.ReadSeeker) error {
		if _, err := f.Seek(a.Offset, io.SeekStart); err != nil {
			return err
		}
		return h.stream(w, e, io.LimitReader(f, max(e.SizeBytes-a.Offset, 0)))
	})
}

func (h *Handler) writeFile(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil || a.Volume != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.WriteFile(req.Context(), a.place(), string(a.Path), req.Body)
	return answerJSON(w, out, err)
}

func (h *Handler) removeFile(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil || a.Volume != nil); err != nil {
		return err
	}
	return answerJSON(w, nothing{}, h.cfg.Local.RemoveFile(req.Context(), a.place(), string(a.Path), a.Recursive))
}

func (h *Handler) makeFolder(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil || a.Volume != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.MakeFolder(req.Context(), a.place(), string(a.Path))
	return answerJSON(w, out, err)
}

func (h *Handler) containerMetrics(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Container != nil && a.Window != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.ContainerMetrics(req.Context(), a.Container, *a.Window)
	return answerJSON(w, out, err)
}

func (h *Handler) serviceMetrics(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.ServiceID != "" && a.Window != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.ServiceMetrics(req.Context(), a.ServiceID, *a.Window)
	return answerJSON(w, out, err)
}

func (h *Handler) nodeMetrics(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Window != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.NodeMetrics(req.Context(), *a.Window)
	return answerJSON(w, out, err)
}

func (h *Handler) nodeStats(w http.ResponseWriter, req *http.Request, _ *ask) error {
	out, err := h.cfg.Local.NodeStats(req.Context())
	return answerJSON(w, out, err)
}

func (h *Handler) volumeUsage(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Volume != nil); err != nil {
		return err
	}
	out, err := h.cfg.Local.VolumeUsage(req.Context(), a.Volume)
	return answerJSON(w, out, err)
}

// imageDescription is the answer to images/config.
type imageDescription struct {
	Config *api.ImageConfig `json:"config"`
	Layers []api.ImageLayer `json:"layers"`
}

func (h *Handler) imageConfig(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Image != nil); err != nil {
		return err
	}
	cfg, layers, err := h.cfg.Local.ImageConfig(req.Context(), a.Image)
	return answerJSON(w, imageDescription{cfg, layers}, err)
}

func (h *Handler) exportImage(w http.ResponseWriter, req *http.Request, a *ask) error {
	if err := needs(a.Image != nil); err != nil {
		return err
	}
	if _, _, err := h.cfg.Local.ImageConfig(req.Context(), a.Image); err != nil {
		return err // said before the first byte
	}
	out, in := io.Pipe()
	defer out.Close()
	go func() { in.CloseWithError(h.cfg.Local.ExportImage(req.Context(), a.Image, in)) }()
	return h.stream(w, nil, out)
}
