package trust

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

const pem = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIQ\n-----END CERTIFICATE-----\n"

func TestLines(t *testing.T) {
	var b strings.Builder
	for _, c := range Clients("10.0.0.5:7443", pem) {
		b.WriteString("## " + c.Name + "\n" + strings.Join(c.Lines, "\n") + "\n\n")
	}
	const file = "testdata/lines.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the lines have changed; run with -update and try them with the real clients:\n%s", b.String())
	}
}

// TestShellUnderstands runs the lines in a real shell, with the folders below a
// folder of the test, and finds the certificate where the client looks for it.
func TestShellUnderstands(t *testing.T) {
	for _, host := range []string{"10.0.0.5:7443", "[2001:db8::1]:7443", "registry.corp:443"} {
		for _, c := range Clients(host, pem) {
			root := t.TempDir()
			tools := filepath.Join(root, "tools")
			if err := os.Mkdir(tools, 0o700); err != nil {
				t.Fatal(err)
			}
			for name, script := range map[string]string{"update-ca-certificates": "exit 0", "regctl": `printf '%s\n' "$@" > ` + root + `/regctl`} {
				if err := os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			script := strings.Join(c.Lines, "\n")
			for _, dir := range []string{"/etc/docker", "/etc/containers", "/etc/containerd", "/etc/pki", "/usr/local/share"} {
				script = strings.ReplaceAll(script, dir, root+dir)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
			cmd.Env = []string{"PATH=" + tools + ":" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s for %s: %v\n%s\n%s", c.Name, host, err, out, script)
				continue
			}
			want := map[string]string{
				"docker": "/etc/docker/certs.d/" + host + "/ca.crt", "podman": "/etc/containers/certs.d/" + host + "/ca.crt", "buildah": "/etc/containers/certs.d/" + host + "/ca.crt",
				"skopeo": "/etc/containers/certs.d/" + host + "/ca.crt", "containerd": "/etc/containerd/certs.d/" + host + "/ca.crt", "regctl": "/regctl",
			}[c.Name]
			if want == "" {
				want = "/usr/local/share/ca-certificates/" + systemFile(host)
			}
			b, err := os.ReadFile(root + want)
			if err != nil || !strings.Contains(string(b), strings.TrimSpace(pem)) {
				t.Errorf("%s for %s: %s: %v\n%s", c.Name, host, want, err, b)
			}
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"/a/b:1": "/a/b:1", "[::1]:7": "'[::1]:7'", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		if got := quote(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
