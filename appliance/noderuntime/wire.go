package noderuntime

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
)

// Prefix is the path below which a node answers others; see NewHandler.
const Prefix = "/peer/v1/runtime/"

// Peers are the ways to other nodes: requests go to https://peer/...
type Peers interface {
	// Client gives a client whose requests reach the node, by HTTP/2.
	Client(nodeID string) *http.Client
}

// headerAsk bears what a question is about, so that bodies are free for data;
// headerSaid what an answer with a body of data is about.
const (
	headerAsk  = "Skerry-Ask"
	headerSaid = "Skerry-Answer"
)

// ask is what a question is about. Each operation uses its own fields.
type ask struct {
	Container *model.Container `json:"container,omitempty"`
	Volume    *model.Volume    `json:"volume,omitempty"`
	Image     *model.Image     `json:"image,omitempty"`
	ServiceID string           `json:"serviceId,omitempty"`
	Path      []byte           `json:"path,omitempty"` // may be any bytes
	Offset    int64            `json:"offset,omitempty"`
	Recursive bool             `json:"recursive,omitempty"`
	Signal    string           `json:"signal,omitempty"`
	Query     *api.LogQuery    `json:"query,omitempty"`
	Window    *api.Window      `json:"window,omitempty"`
	Commit    *api.CommitInput `json:"commit,omitempty"`
	Exec      *api.ExecSpec    `json:"exec,omitempty"`
	Stdin     bool             `json:"stdin,omitempty"`
}

// about is what another node needs to know of a container to answer: neither its
// environment nor its other secrets cross.
func about(c *model.Container) *model.Container {
	return &model.Container{
		Meta:   model.Meta{ID: c.ID, Name: c.Name},
		Spec:   model.ContainerSpec{Image: c.Spec.Image, TTY: c.Spec.TTY, PidsLimit: c.Spec.PidsLimit},
		Assign: model.Assignment{NodeID: c.Assign.NodeID},
		Status: model.ContainerStatus{Task: c.Status.Task, StartedAt: c.Status.StartedAt},
	}
}

func askAt(at api.FilePlace, path string) ask {
	a := ask{Path: []byte(path)}
	if at.Container != nil {
		a.Container = about(at.Container)
	} else {
		a.Volume = &model.Volume{Meta: model.Meta{ID: at.Volume.ID, Name: at.Volume.Name}, NodeID: at.Volume.NodeID}
	}
	return a
}

func (a ask) place() api.FilePlace { return api.FilePlace{Container: a.Container, Volume: a.Volume} }

func encodeHeader(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write a question to a node: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

func decodeHeader(text string, v any) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("read a header between nodes: %w", err)
	}
	return nil
}
