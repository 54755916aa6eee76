package cli

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/skerryhq/skerry/appliance/compose"
	"github.com/skerryhq/skerry/raft/model"
)

// specFlags are the flags of `run` that describe the container.
type specFlags struct {
	ports, env, envFiles, volumes, tmpfs []string
	labels, capAdd, capDrop              []string
	cpus, memory, restart, entrypoint    string
	user, workdir, hostname              string
	stopSignal, stopTimeout              string
	pids                                 int64
	replicas                             int
	readOnly, privileged                 bool
	entrypointSet                        bool
	constraints                          []string
	strategy, spreadBy                   string
	reserveCPU, reserveMemory            string
}

func (s *specFlags) add(a *app, f *pflag.FlagSet) {
	say := func(name string) string { return a.say("flag." + name) }
	f.StringArrayVarP(&s.ports, "publish", "p", nil, say("publish"))
	f.StringArrayVarP(&s.env, "env", "e", nil, say("env"))
	f.StringArrayVar(&s.envFiles, "env-file", nil, say("env-file"))
	f.StringArrayVarP(&s.volumes, "volume", "v", nil, say("volume"))
	f.StringArrayVar(&s.tmpfs, "tmpfs", nil, say("tmpfs"))
	f.StringArrayVarP(&s.labels, "label", "l", nil, say("label"))
	f.StringArrayVar(&s.capAdd, "cap-add", nil, say("cap-add"))
	f.StringArrayVar(&s.capDrop, "cap-drop", nil, say("cap-drop"))
	f.StringVar(&s.cpus, "cpus", "", say("cpus"))
	f.StringVarP(&s.memory, "memory", "m", "", say("memory"))
	f.Int64Var(&s.pids, "pids-limit", 0, say("pids-limit"))
	f.StringVar(&s.restart, "restart", "no", say("restart"))
	f.StringVar(&s.entrypoint, "entrypoint", "", say("entrypoint"))
	f.StringVarP(&s.user, "user", "u", "", say("user"))
	f.StringVarP(&s.workdir, "workdir", "w", "", say("workdir"))
	f.StringVar(&s.hostname, "hostname", "", say("hostname"))
	f.StringVar(&s.stopSignal, "stop-signal", "", say("stop-signal"))
	f.StringVar(&s.stopTimeout, "stop-timeout", "", say("stop-timeout"))
	f.IntVar(&s.replicas, "replicas", 1, say("replicas"))
	f.BoolVar(&s.readOnly, "read-only", false, say("read-only"))
	f.BoolVar(&s.privileged, "privileged", false, say("privileged"))
	f.StringArrayVar(&s.constraints, "constraint", nil, say("constraint"))
	f.StringVar(&s.strategy, "strategy", "", say("strategy"))
	f.StringVar(&s.spreadBy, "spread-by", "", say("spread-by"))
	f.StringVar(&s.reserveCPU, "reserve-cpu", "", say("reserve-cpu"))
	f.StringVar(&s.reserveMemory, "reserve-memory", "", say("reserve-memory"))
}

// placement reads the flags that say where replicas run.
func (s *specFlags) placement(spec *model.ServiceSpec, note func(flag string, err error)) {
	spec.Placement = model.Placement{Strategy: model.Strategy(s.strategy), Constraints: s.constraints, SpreadBy: s.spreadBy}
	if s.strategy != "" && s.strategy != string(model.Spread) && s.strategy != string(model.BinPack) {
		note("strategy", fmt.Errorf("%q: write spread or binpack", s.strategy))
	}
	var err error
	if s.reserveCPU != "" {
		spec.Reserve.CPUMillis, err = compose.ParseCPUs(s.reserveCPU)
		note("reserve-cpu", err)
	}
	if s.reserveMemory != "" {
		spec.Reserve.MemoryBytes, err = compose.ParseMemory(s.reserveMemory)
		note("reserve-memory", err)
	}
}

// spec makes the service that the flags describe. All errors are of usage.
func (s *specFlags) spec(env func(string) string, image string, command []string) (model.ServiceSpec, error) {
	spec := model.ServiceSpec{Replicas: s.replicas, Container: model.ContainerSpec{
		Image: image, User: s.user, WorkingDir: s.workdir, Hostname: s.hostname, StopSignal: s.stopSignal,
		ReadOnly: s.readOnly, Privileged: s.privileged, PidsLimit: s.pids,
	}}
	c := &spec.Container
	if len(command) > 0 {
		c.Command = command
	}
	var wrong []error
	note := func(flag string, err error) {
		if err != nil {
			wrong = append(wrong, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	if s.entrypointSet {
		if s.entrypoint == "" {
			note("entrypoint", errors.New("it is empty; name the program to run"))
		}
		c.Entrypoint = []string{s.entrypoint}
	}
	var err error
	for _, p := range s.ports {
		ports, err := compose.ParsePorts(p)
		note("publish", err)
		spec.Ports = append(spec.Ports, ports...)
	}
	note("env-file", s.environment(env, c))
	for _, v := range s.volumes {
		m, err := compose.ParseMount(v)
		note("volume", err)
		c.Mounts = append(c.Mounts, m)
	}
	for _, v := range s.tmpfs {
		m, err := compose.ParseTmpfs(v)
		note("tmpfs", err)
		c.Mounts = append(c.Mounts, m)
	}
	c.Labels, err = pairs(s.labels)
	note("label", err)
	c.CapAdd, c.CapDrop = capabilities(s.capAdd), capabilities(s.capDrop)
	if s.cpus != "" {
		c.CPUMillis, err = compose.ParseCPUs(s.cpus)
		note("cpus", err)
	}
	if s.memory != "" {
		c.MemoryBytes, err = compose.ParseMemory(s.memory)
		note("memory", err)
	}
	if s.pids < -1 || s.pids > 4_194_304 {
		note("pids-limit", fmt.Errorf("%d processes are not possible; write a number from 1 to 4194304, or -1 for no limit", s.pids))
	}
	s.placement(&spec, note)
	c.Restart, c.RestartMax, err = compose.ParseRestart(s.restart)
	note("restart", err)
	if s.stopTimeout != "" {
		c.StopGraceSecs, err = seconds(s.stopTimeout)
		note("stop-timeout", err)
		if err == nil && c.StopGraceSecs == 0 {
			c.StopGraceSecs = 1 // 0 means the platform's default in a spec; one second is the least
		}
	}
	if s.replicas < 0 || s.replicas > compose.MaxReplicas {
		note("replicas", fmt.Errorf("%d replicas are not possible; write a number from 0 to %d", s.replicas, compose.MaxReplicas))
	}
	if len(wrong) > 0 {
		return spec, &usageError{err: errors.Join(wrong...)}
	}
	return spec, nil
}

// environment joins the env files and then -e, which wins; a name without a
// value is taken from the client's environment.
func (s *specFlags) environment(env func(string) string, c *model.ContainerSpec) error {
	at := map[string]int{}
	set := func(name, value string) {
		if i, ok := at[name]; ok {
			c.Env[i].Value = value
			return
		}
		at[name] = len(c.Env)
		c.Env = append(c.Env, model.EnvVar{Name: name, Value: value})
	}
	for _, file := range s.envFiles {
		lines, err := envLines(file)
		if err != nil {
			return err
		}
		for _, l := range lines {
			setEnv(l, env, set)
		}
	}
	for _, e := range s.env {
		if name, _, _ := strings.Cut(e, "="); name == "" || strings.ContainsAny(name, " \t\n") {
			return fmt.Errorf("%q is not NAME=VALUE", e)
		}
		setEnv(e, env, set)
	}
	return nil
}

func setEnv(text string, env func(string) string, set func(name, value string)) {
	name, value, given := strings.Cut(text, "=")
	if given {
		set(name, value)
	} else if v := env(name); v != "" {
		set(name, v)
	}
}

// envLines reads NAME=VALUE lines; empty lines and those with # are comments,
// and a value is taken as it stands, quotes included.
func envLines(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the env file: %w", err)
	}
	defer f.Close()
	var out []string
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimLeft(strings.TrimPrefix(sc.Text(), "\ufeff"), " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, _, _ := strings.Cut(line, "="); name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("%s, line %d: %q is not NAME=VALUE", file, n, line)
		}
		out = append(out, line)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return out, nil
}

func pairs(items []string) (map[string]string, error) {
	if len(items) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, i := range items {
		name, value, _ := strings.Cut(i, "=")
		if name == "" {
			return nil, fmt.Errorf("%q is not NAME=VALUE", i)
		}
		out[name] = value
	}
	return out, nil
}

func capabilities(in []string) []string {
	var out []string
	for _, s := range in {
		out = append(out, strings.TrimPrefix(strings.ToUpper(s), "CAP_"))
	}
	return out
}

// seconds reads `10` or `1m30s` as whole seconds, rounded up.
func seconds(s string) (int, error) {
	var d time.Duration
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if d, err = time.ParseDuration(s); err != nil {
		return 0, fmt.Errorf("%q is not a number of seconds; write for example 10 or 1m30s", s)
	}
	if d < 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("%q is not possible; write 0 to 86400 seconds", s)
	}
	return int(math.Ceil(d.Seconds())), nil
}

// appNameFor derives a name from an image: its last word and four random
// characters, so that running the same image twice works.
func appNameFor(image string) string {
	base := path.Base(strings.ToLower(image))
	base, _, _ = strings.Cut(base, "@")
	base, _, _ = strings.Cut(base, ":")
	var b strings.Builder
	for _, r := range base {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if len(name) > 50 {
		name = strings.Trim(name[:50], "-")
	}
	var random [2]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails
	return firstOf(name, "app") + "-" + hex.EncodeToString(random[:])
}
