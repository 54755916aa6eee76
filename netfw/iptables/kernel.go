package iptables

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/netfw/rules"
)

// kernelTables is what iptables-save printed: table -> chain -> rules without "-A CHAIN ".
type kernelTables map[string]map[string][]string

func parseSave(text string) kernelTables {
	out := kernelTables{}
	var table map[string][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = map[string][]string{}
			out[line[1:]] = table
		case table == nil:
		case strings.HasPrefix(line, ":"):
			name, _, _ := strings.Cut(line[1:], " ")
			table[name] = nil
		case strings.HasPrefix(line, "-A "):
			name, rule, _ := strings.Cut(line[3:], " ")
			table[name] = append(table[name], rule)
		}
	}
	return out
}

// holds reports whether the kernel's chain is c: the same marks in the same order, and no rule without one.
func (k kernelTables) holds(c rules.Chain) bool {
	found, exists := k[c.Table][c.Name]
	return exists && slices.EqualFunc(found, c.Rules, func(a, b string) bool { return rules.Mark(a) == rules.Mark(b) })
}

// hooked reports whether the built-in chain jumps to ours first, and only once.
func (k kernelTables) hooked(h rules.Hook) bool {
	found := k[h.Table][h.Builtin]
	return len(found) > 0 && found[0] == h.Rule() && k.jumps(h) == 1
}

func (k kernelTables) jumps(h rules.Hook) int {
	n := 0
	for _, rule := range k[h.Table][h.Builtin] {
		if rule == h.Rule() {
			n++
		}
	}
	return n
}

// repair is the restore text that leads from what the kernel holds to want, and how many chains it touches.
func (k kernelTables) repair(want rules.Ruleset) (string, int) {
	var changed []rules.Chain
	touched := 0
	extra, keep := map[string][]string{}, map[string]bool{}
	for _, c := range want.Chains {
		keep[c.Table+" "+c.Name] = true
		if !k.holds(c) {
			changed = append(changed, c)
		}
	}
	for _, h := range want.Hooks {
		if k.hooked(h) {
			continue
		}
		for range k.jumps(h) {
			extra[h.Table] = append(extra[h.Table], "-D "+h.Builtin+" "+h.Rule())
		}
		extra[h.Table] = append(extra[h.Table], "-I "+h.Builtin+" 1 "+h.Rule())
	}
	for _, table := range slices.Sorted(maps.Keys(k)) {
		var flush, remove []string
		for _, name := range slices.Sorted(maps.Keys(k[table])) {
			if strings.HasPrefix(name, rules.Prefix) && !keep[table+" "+name] {
				// All are emptied before the first is removed: they may jump to each other.
				flush, remove = append(flush, "-F "+name), append(remove, "-X "+name)
				touched++
			}
		}
		extra[table] = append(extra[table], append(flush, remove...)...)
	}
	return rules.Restore(changed, extra), touched + len(changed)
}

func (k kernelTables) drift(want rules.Ruleset) []string {
	var out []string
	for _, c := range want.Chains {
		if _, exists := k[c.Table][c.Name]; !exists {
			out = append(out, fmt.Sprintf("chain %s is gone from table %s", c.Name, c.Table))
		} else if !k.holds(c) {
			out = append(out, fmt.Sprintf("chain %s of table %s was changed", c.Name, c.Table))
		}
	}
	for _, h := range want.Hooks {
		switch n := k.jumps(h); {
		case n == 0:
			out = append(out, fmt.Sprintf("%s of table %s does not jump to %s any more", h.Builtin, h.Table, h.Chain))
		case n > 1:
			out = append(out, fmt.Sprintf("%s of table %s jumps to %s %d times", h.Builtin, h.Table, h.Chain, n))
		case !k.hooked(h):
			out = append(out, fmt.Sprintf("%s of table %s does not jump to %s first", h.Builtin, h.Table, h.Chain))
		}
	}
	return out
}
