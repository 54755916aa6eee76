package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest/debimage"
)

// registryPort is where both registries listen, each on its own site.
const registryPort = "7443"

// repository is a registry that images are pushed to and pulled from.
type repository struct {
	label string
	site  *site
	creds []string                    // skopeo's words for who it is, without the side
	auth  string                      // the value of curl's Authorization header; empty: none
	owns  func(p process) string      // group of a process in the memory figures; empty: not counted
	stop  func() error                // ends it
	dir   string                      // its private folder
	name  func(repo, i string) string // path of a repository
}

// registries compares the registry with Debian's docker-registry: the same
// images, the same client, TLS on both sides, by turns.
func registries(ctx context.Context, o options, scratch string) (err error) {
	var both []*repository
	defer func() {
		for _, r := range both {
			err = errors.Join(err, r.stop())
		}
	}()
	for _, start := range []func(context.Context, options, string) (*repository, error){ourRegistry, debianRegistry} {
		r, err := start(ctx, o, scratch)
		if err != nil {
			return err
		}
		both = append(both, r)
	}
	ours, peer := both[0], both[1]
	for _, r := range both {
		r.memory("idle", false)
		r.resetPeak()
	}
	push, pull, get, cpu := map[*repository]*series{}, map[*repository]*series{}, map[*repository]*series{}, map[*repository]*series{}
	for _, m := range []map[*repository]*series{push, pull, get, cpu} {
		m[ours], m[peer] = &series{}, &series{}
	}
	var ratios [3]series // push, pull, get: of each round
	for i := range o.registryRepeats {
		layout := filepath.Join(scratch, "image")
		bytes, largest, err := randomImage(layout, []int{100 << 20, 60 << 20, 40 << 20})
		if err != nil {
			return err
		}
		round := both
		if i%2 == 1 { // whoever comes second finds the image in the page cache
			round = []*repository{peer, ours}
		}
		took := map[*repository][3]float64{}
		for _, r := range round {
			before := r.cpuSeconds()
			t, err := r.round(ctx, layout, strconv.Itoa(i), bytes, largest)
			if err != nil {
				return fmt.Errorf("%s: %w", r.label, err)
			}
			cpu[r].add(r.cpuSeconds() - before)
			took[r] = t
			push[r].add(t[0])
			pull[r].add(t[1])
			get[r].add(t[2])
		}
		for k := range ratios {
			ratios[k].add(took[ours][k] / took[peer][k])
		}
		if err := os.RemoveAll(layout); err != nil {
			return err
		}
	}
	for _, r := range both {
		push[r].print("registry_"+r.label+"_push", "MB/s")
		pull[r].print("registry_"+r.label+"_pull", "MB/s")
		get[r].print("registry_"+r.label+"_get", "MB/s")
		cpu[r].print("registry_"+r.label+"_cpu", "s") // of the server, for one push, one pull and three gets
		r.memory("after", true)
	}
	for k, what := range []string{"push", "pull", "get"} {
		fmt.Printf("registry_ours_to_debian_%s=%.2f ratio [%.2f-%.2f]\n", what, ratios[k].median(), ratios[k].quantile(0), ratios[k].quantile(1))
	}
	return nil
}

// round pushes an image, pulls it and gets its largest blob; all in megabytes a
// second.
func (r *repository) round(ctx context.Context, layout, i string, bytes int64, largest string) (speeds [3]float64, err error) {
	host := r.site.addr + ":" + registryPort
	ref := "docker://" + host + "/" + r.name("bench", i) + ":1"
	out := filepath.Join(filepath.Dir(layout), "pulled")
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	with := func(side string) []string {
		words := []string{"--" + side + "-tls-verify=false"}
		if len(r.creds) > 0 {
			words = append(words, "--"+side+"-creds", r.creds[0])
		}
		return words
	}
	for k, argv := range [][]string{
		append(append([]string{"skopeo", "copy", "-q"}, with("dest")...), "oci:"+layout+":1", ref),
		append(append([]string{"skopeo", "copy", "-q"}, with("src")...), ref, "dir:"+out),
	} {
		begin := time.Now()
		if err := r.site.asClient(ctx, argv...); err != nil {
			return speeds, err
		}
		speeds[k] = float64(bytes) / 1e6 / time.Since(begin).Seconds()
	}
	argv := []string{"curl", "-fsSk", "-o", "/dev/null", "-w", "%{speed_download}"}
	if r.auth != "" {
		argv = append(argv, "-H", "Authorization: "+r.auth)
	}
	argv = append(argv, "https://"+host+"/v2/"+r.name("bench", i)+"/blobs/"+largest)
	var best float64 // of three: a blob of a tenth of a second is short
	for range 3 {
		text, err := r.site.asClientOutput(ctx, argv...)
		if err != nil {
			return speeds, err
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return speeds, fmt.Errorf("curl said %q: %w", text, err)
		}
		best = max(best, v/1e6)
	}
	speeds[2] = best
	return speeds, nil
}

// asClient runs one client in the client's namespace.
func (s *site) asClient(ctx context.Context, argv ...string) error {
	_, err := s.asClientOutput(ctx, argv...)
	return err
}

func (s *site) asClientOutput(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/run/netns/" + s.client}, argv...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// memory prints what the processes hold, and with peak the most that they held.
func (r *repository) memory(when string, peak bool) {
	rss, _, _ := footprint(r.dir, r.owns)
	for class, v := range rss {
		if class != "" {
			fmt.Printf("registry_%s_%s_%s=%s MiB\n", r.label, class, when, number(v))
		}
	}
	if !peak {
		return
	}
	for _, p := range under(r.dir) {
		if class := r.owns(p); class != "" {
			if v, err := peakOf(p.pid); err == nil {
				fmt.Printf("registry_%s_%s_peak=%s MiB\n", r.label, class, number(v))
			}
		}
	}
}

// resetPeak makes the kernel forget the most that the processes held.
func (r *repository) resetPeak() {
	for _, p := range under(r.dir) {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pid), []byte("5"), 0); err != nil {
			note("the peak of %s includes its start: %v", p.argv[0], err)
		}
	}
}

// cpuSeconds is what the processes have used since they began. Beside busy
// neighbours it says more than the time on the clock.
func (r *repository) cpuSeconds() float64 {
	const ticks = 100 // a second: USER_HZ, the same on every Linux that Go runs on
	var sum float64
	for _, p := range under(r.dir) {
		if r.owns(p) == "" {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
		if err != nil {
			continue // gone meanwhile
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, f := range fields[11:13] { // user and system
			n, _ := strconv.ParseFloat(f, 64)
			sum += n / ticks
		}
	}
	return sum
}

// peakOf reads VmHWM in MiB.
func peakOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, errors.New("no VmHWM")
}

// ourRegistry starts our daemon and makes an API token, with which clients push.
func ourRegistry(ctx context.Context, o options, scratch string) (*repository, error) {
	p, err := startOurs(ctx, o, scratch, 61)
	if err != nil {
		if p != nil {
			err = errors.Join(err, p.close())
		}
		return nil, err
	}
	s := p.(*ours)
	var token struct {
		Token string `json:"token"`
	}
	if err := call(ctx, s.api, http.MethodPost, ourAPI+"/api-tokens", map[string]any{"name": "registry", "role": "admin", "user": "admin"}, &token); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &repository{
		label: "ours", site: s.site, creds: []string{"bench:" + token.Token}, auth: "Bearer " + token.Token, stop: s.close, dir: s.dir,
		owns: func(p process) string {
			if c := s.class(p); c == "daemon" || c == "engine" {
				return c
			}
			return ""
		},
		name: func(repo, i string) string { return "default/" + repo + i },
	}, nil
}

// debianRegistry starts Debian's docker-registry, TLS and local files.
func debianRegistry(ctx context.Context, _ options, scratch string) (*repository, error) {
	tools, err := debimage.Unpack(ctx, false, "docker-registry")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(scratch, "distribution")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := newSite(ctx, "registry", 62)
	if err != nil {
		return nil, err
	}
	r := &repository{label: "debian", site: s, dir: dir, owns: func(process) string { return "daemon" }, name: func(repo, i string) string { return "default/" + repo + i }}
	var d *daemon
	r.stop = func() error {
		var errs []error
		if d != nil {
			errs = append(errs, d.stop(10*time.Second))
		}
		return errors.Join(append(errs, sweep(dir), s.close())...)
	}
	cert, key, err := selfSigned(dir, s.addr)
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: '%s:%s', secret: bench, tls: {certificate: %s, key: %s}}\n",
		filepath.Join(dir, "data"), s.addr, registryPort, cert, key)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	if d, err = launch(s, filepath.Join(dir, "registry.log"), nil, filepath.Join(tools, "usr/bin/docker-registry"), "serve", config); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	if err := d.ready(ctx, func(ctx context.Context) error {
		return s.asClient(ctx, "curl", "-fsSk", "-m", "1", "-o", "/dev/null", "https://"+s.addr+":"+registryPort+"/v2/")
	}); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

// selfSigned writes a certificate of the kind that ours has: EC, P-256.
func selfSigned(dir, addr string) (cert, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: addr}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(addr)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}

// descriptor is OCI's.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// writeIndex writes the two small files that make a folder an OCI layout.
func writeIndex(layout string, manifest descriptor) error {
	index := map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{
		"mediaType": manifest.MediaType, "digest": manifest.Digest, "size": manifest.Size, "annotations": map[string]string{"org.opencontainers.image.ref.name": "1"},
	}}}
	b, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(layout, "index.json"), b, 0o644),
		os.WriteFile(filepath.Join(layout, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}
