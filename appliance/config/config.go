// Package config is what a node is told at start: defaults, then the file,
// then the environment, then flags. What the whole cluster shares (pools, port
// range, certificates) lives in raft and never here.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Config is the configuration of one node. Paths are absolute after Resolve.
type Config struct {
	DataDir   string   `yaml:"data_dir"`   // everything that must outlive a reboot
	RunDir    string   `yaml:"run_dir"`    // sockets, pids, FIFOs; gone after a reboot
	EngineDir string   `yaml:"engine_dir"` // containerd, its shim, runc, skerry-nodeproc; empty: "engine" beside the program, or ../lib/skerry/engine
	Listen    string   `yaml:"listen"`     // IP:PORT of the control plane
	Advertise string   `yaml:"advertise"`  // address others reach this node at; empty: found from the default route
	Name      string   `yaml:"name"`       // of the node; empty: the host's name
	SANs      []string `yaml:"san"`        // further names and addresses for the certificate
	Resolver  string   `yaml:"resolver"`   // address containers ask for names
	// OverlayPort is the UDP port of packets between nodes; the same on every node
	// of a cluster.
	OverlayPort uint16 `yaml:"overlay_port"`
	Ephemeral   bool   `yaml:"-"`         // end everything this node started when the daemon ends
	LogLevel    string `yaml:"log_level"` // debug, info, warn, error
	// MirrorCache is how much is kept of what clients pull from other registries
	// through this one, in bytes; 0: 20 GiB.
	MirrorCache int64 `yaml:"mirror_cache_bytes"`
}

// Default is a node with nothing said.
func Default() Config {
	return Config{
		DataDir:     "/var/lib/skerry",
		RunDir:      "/run/skerry",
		Listen:      "0.0.0.0:7443",
		Resolver:    "169.254.42.53",
		OverlayPort: 51820,
		LogLevel:    "info",
	}
}

// DefaultFile is read when no other file is named; it need not exist.
const DefaultFile = "/etc/skerry/config.yaml"

// Load lays the file at path and the environment over c. An empty path means
// DefaultFile, which may be missing; a file named by the user may not.
func Load(c Config, path string, env func(string) string) (Config, error) {
	named := path != ""
	if !named {
		path = DefaultFile
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
	case err != nil:
		return c, fmt.Errorf("read the configuration: %w", err)
	default:
		dec := yaml.NewDecoder(bytes.NewReader(b))
		dec.KnownFields(true)
		if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	for name, field := range map[string]*string{
		"SKERRY_DATA_DIR": &c.DataDir, "SKERRY_RUN_DIR": &c.RunDir, "SKERRY_ENGINE_DIR": &c.EngineDir,
		"SKERRY_LISTEN": &c.Listen, "SKERRY_ADVERTISE": &c.Advertise, "SKERRY_NAME": &c.Name, "SKERRY_LOG_LEVEL": &c.LogLevel,
	} {
		if v := env(name); v != "" {
			*field = v
		}
	}
	return c, nil
}

// hostName is what a certificate can name: letters, digits and dashes, with an asterisk for the first label at most.
var hostName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*$`)

var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// Resolve fills in what follows from the host and checks everything; the error
// joins all problems, each with its key and the value found.
func (c Config) Resolve() (Config, error) {
	var problems []error
	bad := func(key, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	for key, dir := range map[string]*string{"data_dir": &c.DataDir, "run_dir": &c.RunDir} {
		abs, err := filepath.Abs(*dir)
		if *dir == "" || err != nil || abs == "/" {
			bad(key, "%q is not a folder of its own", *dir)
			continue
		}
		*dir = abs
	}
	// A unix socket's path is limited by the kernel to 107 bytes; the longest of ours is 40 below the run dir.
	if len(c.RunDir) > 64 {
		bad("run_dir", "%q is %d bytes long, more than 64: sockets below it could not be opened", c.RunDir, len(c.RunDir))
	}
	if c.EngineDir == "" {
		exe, err := os.Executable()
		if err != nil {
			bad("engine_dir", "cannot find this program's folder: %v", err)
		}
		c.EngineDir = engineBeside(filepath.Dir(exe))
	}
	if _, err := netip.ParseAddrPort(c.Listen); err != nil {
		bad("listen", "%q is not IP:PORT, such as 0.0.0.0:7443", c.Listen)
	}
	if c.Advertise != "" {
		if _, err := netip.ParseAddr(c.Advertise); err != nil {
			bad("advertise", "%q is not an IP address", c.Advertise)
		}
	}
	for _, name := range c.SANs {
		if _, err := netip.ParseAddr(name); err != nil && !hostName.MatchString(name) {
			bad("san", "%q is neither a host name nor an IP address: write one name each, without https:// and port", name)
		}
	}
	if a, err := netip.ParseAddr(c.Resolver); err != nil || !a.Is4() {
		bad("resolver", "%q is not an IPv4 address", c.Resolver)
	}
	if c.OverlayPort == 0 {
		bad("overlay_port", "0 is no port: give one from 1 to 65535, the same on every node")
	}
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			bad("name", "the host has no name: %v", err)
		}
		c.Name = strings.ToLower(host)
	}
	if !nodeName.MatchString(c.Name) {
		bad("name", "%q is not a node name: 1 to 63 of a-z, 0-9, dot and dash, beginning and ending with a letter or digit", c.Name)
	}
	if c.MirrorCache < 0 {
		bad("mirror_cache_bytes", "%d is less than nothing; give a number of bytes", c.MirrorCache)
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		bad("log_level", "%q is none of debug, info, warn, error", c.LogLevel)
	}
	return c, errors.Join(problems...)
}

// engineBeside finds the engine of a program in dir: in the folder "engine"
// beside it, as it is built, or where a package puts it, /usr/lib/skerry/engine
// for /usr/bin. Where neither is there it names the first, for the error.
func engineBeside(dir string) string {
	built, packaged := filepath.Join(dir, "engine"), filepath.Join(filepath.Dir(dir), "lib", "skerry", "engine")
	if _, err := os.Stat(built); err != nil {
		if _, err := os.Stat(packaged); err == nil {
			return packaged
		}
	}
	return built
}

// Socket is the local administrator's door.
func (c Config) Socket() string { return filepath.Join(c.RunDir, "skerry.sock") }
