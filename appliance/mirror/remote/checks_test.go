package remote

import (
	"net/netip"
	"strings"
	"testing"
)

func TestChecks(t *testing.T) {
	for _, ok := range []string{"docker.io", "registry.corp:5000", "localhost:5000", "10.1.2.3:5000", "[fd00::1]:5000", "ghcr.io"} {
		if err := CheckHost(ok); err != nil {
			t.Errorf("host %s: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "nginx", "https://docker.io", "docker.io/library", "a b.io", "Docker.IO", "x.io:", "x.io:0", "x.io:99999", "user@x.io", "..", "x..io", "-x.io", strings.Repeat("x", 300) + ".io"} {
		if CheckHost(bad) == nil {
			t.Errorf("host %q is taken", bad)
		}
	}
	for _, ok := range []string{"https://mirror.corp", "http://10.0.0.5:5000/", "https://harbor.corp/dockerhub", "https://other.corp:7443/docker.io"} {
		if err := CheckEndpoint(ok); err != nil {
			t.Errorf("endpoint %s: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "mirror.corp", "ftp://mirror.corp", "https://u:p@mirror.corp", "https://mirror.corp/v2", "https://mirror.corp/v2/x", "https://mirror.corp/../x",
		"https://mirror.corp/a//b", "https://mirror.corp/%2e%2e", "https://mirror.corp?x=1", "https://mirror.corp?", "https://mirror.corp#x", "https://", "https://mirror.corp:99999", "https://mi rror"} {
		if err := CheckEndpoint(bad); err == nil {
			t.Errorf("endpoint %q is taken", bad)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("shows a password: %v", err)
		}
	}
	for _, ok := range []string{"http://proxy:3128", "https://proxy.corp", "socks5://10.0.0.1:1080/"} {
		if err := CheckProxy(ok); err != nil {
			t.Errorf("proxy %s: %v", ok, err)
		}
	}
	for _, bad := range []string{"proxy:3128", "ftp://proxy", "http://u:p@proxy", "http://proxy/x", "http://", "http://proxy?x"} {
		if err := CheckProxy(bad); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("proxy %q: %v", bad, err)
		}
	}
	for a, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "127.0.0.1": false, "10.0.0.1": false, "172.16.1.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.100.100.200": false,
		"0.0.0.0": false, "::1": false, "::": false, "fe80::1": false, "fd00::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false,
	} {
		if got := Public(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: public %v", a, got)
		}
	}
}
