// Package supervise is the process parent of hosts without systemd: it starts the engine, the log daemon and the
// edge, restarts what dies, bounds their log files, keeps descriptors for them and reaps orphans.
//
// It decides nothing: which processes there are and how they are started, the daemon says (Client). It never ends a
// process because the daemon ended. Killed itself, it takes nothing with it: the next one adopts what runs, by pid
// file and start time, so a reused pid is never signalled and nothing is ever started twice.
//
// Run is the parent, called by the small binary; Ensure, Keep and Client are the daemon's side of the same socket.
// Everything may be called from any goroutine. Inside, one goroutine owns each process from start to end.
package supervise

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ChildCommand is the word by which the small binary becomes a child before it executes the wanted program.
const ChildCommand = "supervise-child"

// Spec is one process. Two specs of one name that differ in how the process is started restart it.
type Spec struct {
	Name   string   `json:"name"` // lower-case letters, digits, '-'; also the name of its log file
	Argv   []string `json:"argv"` // Argv[0] is an absolute path
	Env    []string `json:"env,omitempty"`
	Dir    string   `json:"dir,omitempty"` // empty: "/"
	Cgroup []string `json:"cgroup,omitempty"`
	// Cgroup lists existing cgroup folders, one a hierarchy on cgroup v1; the process joins them before it begins.
	OOMScoreAdj int `json:"oom_score_adj"`      // -1000 to 1000
	KeepFDs     int `json:"keep_fds,omitempty"` // so many descriptors are kept for it (systemd's notify protocol); 0: none

	StopTimeout time.Duration `json:"stop_timeout,omitempty"`  // from SIGTERM to SIGKILL; 0: 10 s
	LogMaxBytes int64         `json:"log_max_bytes,omitempty"` // of its log file, of which one older is kept; 0: 5 MiB
}

const (
	defaultStopTimeout = 10 * time.Second
	defaultLogMaxBytes = 5 << 20
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// validate returns all problems of a spec.
func (s Spec) validate() error {
	var errs []error
	if !namePattern.MatchString(s.Name) {
		errs = append(errs, fmt.Errorf("process name %.40q: use 1 to 32 lower-case letters, digits or '-'", s.Name))
	}
	if s.Name == "supervise" {
		errs = append(errs, errors.New("process name \"supervise\" is the parent's own"))
	}
	switch {
	case len(s.Argv) == 0 || !filepath.IsAbs(s.Argv[0]):
		errs = append(errs, fmt.Errorf("process %s: the first word of argv must be the absolute path of a program, not %.80q", s.Name, strings.Join(s.Argv, " ")))
	default:
		if err := unix.Access(s.Argv[0], unix.X_OK); err != nil {
			errs = append(errs, fmt.Errorf("process %s: program %s: %w", s.Name, s.Argv[0], err))
		}
	}
	if s.OOMScoreAdj < -1000 || s.OOMScoreAdj > 1000 {
		errs = append(errs, fmt.Errorf("process %s: oom_score_adj = %d: must be -1000 to 1000", s.Name, s.OOMScoreAdj))
	}
	if s.StopTimeout < 0 || s.LogMaxBytes < 0 || s.KeepFDs < 0 {
		errs = append(errs, fmt.Errorf("process %s: stop_timeout, log_max_bytes and keep_fds must not be negative", s.Name))
	}
	for _, word := range append(append([]string{s.Dir}, s.Argv...), s.Env...) {
		if strings.ContainsRune(word, 0) {
			errs = append(errs, fmt.Errorf("process %s: %.40q contains a zero byte", s.Name, word))
		}
	}
	return errors.Join(errs...)
}

// identity is equal for two specs that start the same process in the same way.
func (s Spec) identity() string {
	s.StopTimeout, s.LogMaxBytes = 0, 0
	body, err := json.Marshal(s)
	if err != nil {
		return "unmarshalable" // cannot happen: strings and numbers only
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

func (s Spec) stopTimeout() time.Duration {
	if s.StopTimeout == 0 {
		return defaultStopTimeout
	}
	return s.StopTimeout
}

func (s Spec) logMaxBytes() int64 {
	if s.LogMaxBytes == 0 {
		return defaultLogMaxBytes
	}
	return s.LogMaxBytes
}

// State of a process.
type State string

// States.
const (
	StateStarting State = "starting"
	StateRunning  State = "running"
	StateWaiting  State = "waiting" // ended or not startable; the next start waits for its back-off
	StateStopping State = "stopping"
)

// ProcessStatus is what is known of one process.
type ProcessStatus struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`     // of the state
	Restarts int       `json:"restarts"`  // since this parent knows it
	Adopted  bool      `json:"adopted"`   // started by an earlier parent
	LastExit string    `json:"last_exit"` // how it ended last, or why it cannot be started
	KeptFDs  int       `json:"kept_fds"`

	identity string
}

// Status is the parent and its processes, in the order in which they were asked for.
type Status struct {
	PID       int             `json:"pid"`
	Processes []ProcessStatus `json:"processes"`
}

// layout knows every path.
type layout struct{ runDir, dataDir string }

func (l layout) socket() string             { return filepath.Join(l.runDir, "supervise.sock") }
func (l layout) lock() string               { return filepath.Join(l.runDir, "supervise.lock") }
func (l layout) dir() string                { return filepath.Join(l.runDir, "supervise") }
func (l layout) pidFile(name string) string { return filepath.Join(l.dir(), name+".pid") }
func (l layout) spec(name string) string    { return filepath.Join(l.dir(), name+".json") }
func (l layout) notify(name string) string  { return filepath.Join(l.dir(), name+".notify") }
func (l layout) logs() string               { return filepath.Join(l.dataDir, "log") }
func (l layout) log(name string) string     { return filepath.Join(l.logs(), name+".log") }

func (l layout) check() error {
	if !filepath.IsAbs(l.runDir) || !filepath.IsAbs(l.dataDir) {
		return fmt.Errorf("run dir %q and data dir %q must be absolute paths", l.runDir, l.dataDir)
	}
	const longest = len("/supervise/") + 32 + len(".notify")
	if len(l.runDir)+longest > 107 {
		return fmt.Errorf("run dir %s: the path has %d bytes, at most %d leave room for the sockets in it", l.runDir, len(l.runDir), 107-longest)
	}
	return nil
}

// make makes the folders.
func (l layout) make() error {
	for _, dir := range []string{l.dir(), l.logs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	return nil
}
