package iptables

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/netfw/rules"
)

// play applies a restore text to a model of the kernel's tables.
func play(t *rapid.T, k kernelTables, text string) {
	var table map[string][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word := strings.SplitN(line, " ", 4)
		switch {
		case line[0] == '*':
			if k[line[1:]] == nil {
				k[line[1:]] = map[string][]string{}
			}
			table = k[line[1:]]
		case line == "COMMIT":
		case line[0] == ':':
			table[word[0][1:]] = []string{}
		case word[0] == "-A":
			table[word[1]] = append(table[word[1]], strings.SplitN(line, " ", 3)[2])
		case word[0] == "-F":
			table[word[1]] = []string{}
		case word[0] == "-X":
			for name, chain := range table {
				for _, r := range chain {
					if strings.HasSuffix(r, "-j "+word[1]) {
						t.Fatalf("%s is removed while %s jumps to it", word[1], name)
					}
				}
			}
			delete(table, word[1])
		case word[0] == "-D" && len(word) == 3:
			n, err := strconv.Atoi(word[2])
			if err != nil || n > len(table[word[1]]) {
				t.Fatalf("line %q on %d rules", line, len(table[word[1]]))
			}
			table[word[1]] = slices.Delete(table[word[1]], n-1, n)
		case word[0] == "-D":
			i := slices.Index(table[word[1]], word[2]+" "+word[3])
			table[word[1]] = slices.Delete(table[word[1]], i, i+1)
		case word[0] == "-I":
			n, err := strconv.Atoi(word[2])
			if err != nil || n > len(table[word[1]])+1 {
				t.Fatalf("line %q on %d rules", line, len(table[word[1]]))
			}
			table[word[1]] = slices.Insert(table[word[1]], n-1, word[3])
		default:
			t.Fatalf("line %q", line)
		}
	}
}

func drawRuleset(t *rapid.T, label string) rules.Ruleset {
	d := rules.Desired{Pool: netip.MustParsePrefix("10.42.0.0/16"), NodePools: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/26")}}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(1, 60), 0, 6, rapid.ID[int]).Draw(t, label+" endpoints") {
		d.Endpoints = append(d.Endpoints, rules.Endpoint{Address: netip.AddrFrom4([4]byte{10, 42, 0, byte(i)}),
			Veth: fmt.Sprintf("skv%d", i), Networks: []string{fmt.Sprint("net", i%4)}})
	}
	for _, port := range rapid.SliceOfNDistinct(rapid.IntRange(1, 200), 0, 150, rapid.ID[int]).Draw(t, label+" ports") {
		p := rules.Port{Proto: rules.TCP, HostPort: uint16(port)}
		for i := range rapid.IntRange(0, 4).Draw(t, label+" backends") {
			p.Backends = append(p.Backends, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 42, 0, byte(i)}), 80))
		}
		d.Ports = append(d.Ports, p)
	}
	r, err := rules.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAnyChangeLeadsThere plays the texts of a small change and of a repair and compares with what was wanted.
func TestAnyChangeLeadsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := drawRuleset(t, "from"), drawRuleset(t, "to")
		k := kernelTables{"nat": {"PREROUTING": {"-j DOCKER"}}, "filter": {"FORWARD": {"-j DOCKER-USER", "-j " + rules.Prefix + "FORWARD"}}}
		text, _ := k.repair(from)
		play(t, k, text)
		if drift := k.drift(from); len(drift) != 0 {
			t.Fatalf("first load leaves %q", drift)
		}
		text, chains := diff(from, to)
		play(t, k, text)
		if drift := k.drift(to); len(drift) != 0 {
			t.Fatalf("the change leaves %q\n%s", drift, text)
		}
		if text, n := k.repair(to); text != "" || n != 0 {
			t.Fatalf("a repair after the change wants\n%s", text)
		}
		if (text == "") != (chains == 0) {
			t.Fatalf("%d chains and text %q", chains, text)
		}
		text, _ = k.repair(rules.Ruleset{})
		play(t, k, strings.ReplaceAll(text, "-X ", "-F ")) // hooks still jump there: Remove takes them first
		if got := k["nat"]["PREROUTING"]; !slices.Contains(got, "-j DOCKER") || k["filter"]["FORWARD"][0] != "-j "+rules.Prefix+"FORWARD" {
			t.Fatalf("hooks are %v", got)
		}
	})
}
