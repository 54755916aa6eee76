package iptables

import (
	"fmt"
	"slices"

	"github.com/skerryhq/skerry/netfw/rules"
)

// maxEdits is how many rules of a chain are changed one by one before the chain is written anew.
const maxEdits = 64

// diff is a small restore text that leads from one ruleset to another, and how many chains it touches.
//
// Chains are edited, not rewritten: with the nft back end a transaction that only adds rules takes 2 ms, and one
// that removes any (as emptying a chain does) waits for the kernel's grace period, some 15 ms. Publishing a port
// only adds.
func diff(from, to rules.Ruleset) (text string, chains int) {
	had := make(map[string]rules.Chain, len(from.Chains))
	for _, c := range from.Chains {
		had[c.Table+" "+c.Name] = c
	}
	var whole []rules.Chain
	extra := map[string][]string{}
	for _, c := range to.Chains {
		key := c.Table + " " + c.Name
		old, existed := had[key]
		delete(had, key)
		switch {
		case !existed:
			whole = append(whole, c)
		case slices.Equal(old.Rules, c.Rules):
			continue
		default:
			if lines, ok := edit(old, c); ok {
				extra[c.Table] = append(extra[c.Table], lines...)
			} else {
				whole = append(whole, c)
			}
		}
		chains++
	}
	// Chains that go are no longer jumped to: the chains that did so were changed above.
	for _, c := range from.Chains {
		if _, gone := had[c.Table+" "+c.Name]; gone {
			extra[c.Table] = append(extra[c.Table], "-F "+c.Name, "-X "+c.Name)
			chains++
		}
	}
	return rules.Restore(whole, extra), chains
}

// edit is the lines that turn one chain into another by removing and inserting single rules; ok is false where
// rewriting it is simpler.
func edit(from, to rules.Chain) (lines []string, ok bool) {
	inFrom, inTo := make(map[string]bool, len(from.Rules)), make(map[string]bool, len(to.Rules))
	for _, r := range from.Rules {
		inFrom[r] = true
	}
	for _, r := range to.Rules {
		inTo[r] = true
	}
	keptFrom := slices.DeleteFunc(slices.Clone(from.Rules), func(r string) bool { return !inTo[r] })
	keptTo := slices.DeleteFunc(slices.Clone(to.Rules), func(r string) bool { return !inFrom[r] })
	if !slices.Equal(keptFrom, keptTo) { // another order, or a rule that stands there twice
		return nil, false
	}
	for i, r := range slices.Backward(from.Rules) {
		if !inTo[r] {
			lines = append(lines, fmt.Sprintf("-D %s %d", to.Name, i+1))
		}
	}
	for i, r := range to.Rules {
		if !inFrom[r] {
			lines = append(lines, fmt.Sprintf("-I %s %d %s", to.Name, i+1, r))
		}
	}
	return lines, len(lines) <= maxEdits
}
