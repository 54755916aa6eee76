// Package trust writes the shell lines that make a registry client trust this
// cluster's registry. It is pure: no I/O, clock or randomness.
//
// The lines carry the certificate authority's certificate themselves, so they
// work on a machine that reaches nothing but the registry, and there is nothing
// to fetch that would have to be trusted first.
package trust

import "strings"

// Client is one registry client and its lines.
type Client struct {
	Name  string
	Lines []string // to be run as root in order; one may span several lines of text
}

// end ends the here-documents. PEM has no line like it.
const end = "SKERRY-CA"

// Clients lists the clients with their lines for a registry at "host:port" whose
// certificates the authority pem issues.
func Clients(host, pem string) []Client {
	pem = strings.TrimSpace(pem)
	file := func(path, content string) string {
		return "cat > " + quote(path) + " <<'" + end + "'\n" + content + "\n" + end
	}
	under := func(dir string) []string { return []string{"mkdir -p " + quote(dir), file(dir+"/ca.crt", pem)} }

	containers := under("/etc/containers/certs.d/" + host)
	dir := "/etc/containerd/certs.d/" + host
	hosts := "server = \"https://" + host + "\"\n\n[host.\"https://" + host + "\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n  ca = \"" + dir + "/ca.crt\""
	containerd := append(under(dir), file(dir+"/hosts.toml", hosts),
		"# ctr reads it with --hosts-dir /etc/containerd/certs.d; containerd itself where config_path names that folder")
	system := []string{
		"if command -v update-ca-certificates >/dev/null; then dir=/usr/local/share/ca-certificates; else dir=/etc/pki/ca-trust/source/anchors; fi",
		"mkdir -p \"$dir\"",
		"cat > \"$dir/" + systemFile(host) + "\" <<'" + end + "'\n" + pem + "\n" + end,
		"if command -v update-ca-certificates >/dev/null; then update-ca-certificates; else update-ca-trust; fi",
	}
	regctl := []string{"regctl registry set " + quote(host) + " --cacert \"$(cat <<'" + end + "'\n" + pem + "\n" + end + "\n)\""}
	return []Client{
		{"docker", under("/etc/docker/certs.d/" + host)},
		{"podman", containers}, {"buildah", containers}, {"skopeo", containers},
		{"containerd", containerd},
		{"oras", system}, {"crane", system}, {"regctl", regctl}, {"system", system},
	}
}

// systemFile names the certificate in the system's store.
func systemFile(host string) string {
	return "skerry-" + strings.NewReplacer(":", "-", "[", "", "]", "").Replace(host) + ".crt"
}

// quote makes one word of the shell of s.
func quote(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._:-", r) {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}
