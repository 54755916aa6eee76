package e2e

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/appliance/apptest/debimage"
	"github.com/skerryhq/skerry/netfw/netnstest"
)

const packageName = "skerry"

// debPackage builds the package of the binaries under test.
func debPackage(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Dir(apptest.Binary(t)))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "../../packaging/deb/build.sh", bin, t.TempDir())
	cmd.Env = append(os.Environ(), "DEB_LEVEL=0")
	out, err := cmd.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			out = append(out, failed.Stderr...)
		}
		t.Fatalf("build the package: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// debSystem is a Debian with what the package needs, and systemd.
func debSystem(t *testing.T) string {
	t.Helper()
	tar, err := debimage.System(t.Context(), "systemd", "systemd-sysv", "iptables", "ca-certificates", "libseccomp2", "curl", "zsh", "bash-completion")
	if errors.Is(err, debimage.ErrNoPackages) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tar
}

// webPid is the first process of the container web.
func webPid(t *testing.T, m *apptest.Machine) int {
	t.Helper()
	found := regexp.MustCompile(`"pid": ([0-9]+)`).FindStringSubmatch(m.OK("skerry", "inspect", "web"))
	if found == nil {
		return 0
	}
	pid, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// The package's whole life under the real systemd: install, restart, crash,
// upgrade, remove, install again, purge.
func TestPackageUnderSystemd(t *testing.T) {
	deb, system := debPackage(t), debSystem(t)
	m := apptest.Boot(t, "systemd", system)
	m.Put(deb, "/srv/skerry.deb")
	answers := func(what string) {
		t.Helper()
		netnstest.Eventually(t, 20*time.Second, what, func() bool {
			out, _ := m.Try("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/")
			return out == "200"
		})
	}

	m.OK("dpkg", "-i", "/srv/skerry.deb")
	// The unit says itself when the node is up, so the next command finds it.
	m.OK("skerry", "init")
	if out := m.OK("systemctl", "is-enabled", packageName); out != "enabled" {
		t.Errorf("the unit is %s, not enabled", out)
	}
	if out, _ := m.Try("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/skerry.service"); strings.Contains(out, packageName) {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	m.OK("bash", "-n", "/usr/share/bash-completion/completions/skerry")
	m.OK("zsh", "-n", "/usr/share/zsh/vendor-completions/_skerry")
	m.OK("skerry", "run", "-d", "-n", "web", "-p", "8080:80", "--restart", "always", "library/welcome")
	answers("the app answers")
	if out, status := m.Try("skerry", "status"); status != 0 {
		t.Errorf("status %d:\n%s", status, out)
	}
	pid := webPid(t, m)
	same := func(after string) {
		t.Helper()
		answers("the app answers after " + after)
		if now := webPid(t, m); now != pid || pid == 0 {
			t.Errorf("%s began the container again: pid %d is now %d", after, pid, now)
		}
	}

	// Names of config.yaml reach the certificate; a restart leaves containers alone.
	if err := m.Write("/etc/skerry/config.yaml", []byte("san: [cloud.example.com, 203.0.113.7]\n")); err != nil {
		t.Fatal(err)
	}
	m.OK("systemctl", "restart", packageName)
	names := servedNames(t, m.Host, "")
	for _, want := range []string{"cloud.example.com", "203.0.113.7", m.Host.Address.String()} {
		if !slices.Contains(names, want) {
			t.Errorf("the certificate does not name %s: %v", want, names)
		}
	}
	same("a restart of the unit")
	m.OK("systemctl", "kill", "--signal=KILL", "--kill-who=main", packageName)
	netnstest.Eventually(t, 20*time.Second, "systemd starts a killed daemon again", func() bool {
		_, status := m.Try("skerry", "status")
		return status == 0
	})
	same("a crash of the daemon")
	m.OK("systemctl", "stop", packageName)
	answers("the app answers without the daemon")
	m.OK("systemctl", "start", packageName)
	same("stop and start")

	// What a person ended on purpose stays ended; the next start brings it back.
	m.OK("skerry", "reset")
	<-time.After(3 * time.Second) // longer than RestartSec
	if out, _ := m.Try("systemctl", "is-active", packageName); out != "inactive\n" {
		t.Errorf("after a reset the unit is %s", out)
	}
	m.OK("systemctl", "start", packageName)
	answers("the app is begun again after a reset")
	pid = webPid(t, m)

	// The same version once more stands for an upgrade.
	m.OK("dpkg", "-i", "/srv/skerry.deb")
	same("an upgrade")
	if names := servedNames(t, m.Host, ""); !slices.Contains(names, "cloud.example.com") {
		t.Errorf("the upgrade lost the configuration: %v", names)
	}

	out := m.OK("dpkg", "-r", packageName)
	if !strings.Contains(out, "its data is kept") {
		t.Errorf("the removal does not say that data stays:\n%s", out)
	}
	if code, _ := m.Try("curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/"); code != "000" {
		t.Errorf("the app answers %s although the node was removed", code)
	}
	for _, mark := range []string{"skerry-nodeproc", "containerd", "/welcome"} {
		if out, _ := m.Try("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '^"+mark+"'"); strings.TrimSpace(out) != "0" {
			t.Errorf("%s still runs after the removal", mark)
		}
	}
	if rules := m.Host.Run("iptables-save"); strings.Contains(rules, "SKERRY") {
		t.Errorf("packet filter rules are left:\n%s", rules)
	}
	if !m.Exists("/var/lib/skerry/node.json") || !m.Exists("/etc/skerry/config.yaml") {
		t.Error("the removal took data or configuration with it")
	}

	m.OK("dpkg", "-i", "/srv/skerry.deb")
	answers("the app comes back with the package")

	out = m.OK("dpkg", "-P", packageName)
	if !strings.Contains(out, "deleting /var/lib/skerry") {
		t.Errorf("the purge does not say what it deletes:\n%s", out)
	}
	for _, path := range []string{"/var/lib/skerry", "/etc/skerry", "/usr/lib/skerry", "/usr/bin/skerry", "/lib/systemd/system/skerry.service", "/etc/systemd/system/multi-user.target.wants/skerry.service", "/etc/systemd/system/skerry.service"} {
		if m.Exists(path) {
			t.Errorf("%s is left after the purge", path)
		}
	}
	if out := m.OK("systemctl", "list-units", "--failed", "--no-legend"); out != "" {
		t.Errorf("failed units: %s", out)
	}
}

// Without systemd the package installs all the same, the unit's own command line
// starts the node, and removing the package ends it.
func TestPackageWithoutSystemd(t *testing.T) {
	m := apptest.Boot(t, "plain", debSystem(t), "/bin/sh", "-c", "trap : TERM; while :; do sleep 3600 & wait; done")
	m.Put(debPackage(t), "/srv/skerry.deb")
	if out := m.OK("dpkg", "-i", "/srv/skerry.deb"); !strings.Contains(out, "skerry daemon") {
		t.Errorf("it does not say how to start the node:\n%s", out)
	}
	start := strings.TrimPrefix(m.OK("grep", "^ExecStart=", "/lib/systemd/system/skerry.service"), "ExecStart=")
	m.OK("sh", "-c", "setsid "+start+" >/srv/daemon.log 2>&1 &")
	netnstest.Eventually(t, 30*time.Second, "the daemon answers", func() bool {
		_, status := m.Try("curl", "-fs", "--unix-socket", "/run/skerry/skerry.sock", "http://x/healthz")
		return status == 0
	})
	m.OK("skerry", "init")
	m.OK("skerry", "status")
	m.OK("dpkg", "-r", packageName)
	if out, _ := m.Try("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'skerry'"); strings.TrimSpace(out) != "1" { // grep's own shell
		t.Errorf("something of the node still runs: %s", out)
	}
	if !m.Exists("/var/lib/skerry/node.json") {
		t.Error("the removal took the data with it")
	}
	m.OK("dpkg", "-P", packageName)
	if m.Exists("/var/lib/skerry") {
		t.Error("the purge left the data")
	}
}

// servedNames are those of the certificate that 7443 shows, asked for by an
// address or, with name, by that name.
func servedNames(t *testing.T, h *netnstest.Host, name string) []string {
	t.Helper()
	c, err := h.Dial("tcp", net.JoinHostPort(h.Address.String(), "7443"), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // the test looks at the certificate itself
	if err := s.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	leaf := s.ConnectionState().PeerCertificates[0]
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}
