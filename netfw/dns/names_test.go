package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// twoTenants has one app "shop" each, and one of them an app "com".
func twoTenants() Snapshot {
	return Snapshot{Pool: netip.MustParsePrefix("10.42.0.0/16"), Endpoints: []Endpoint{
		{Address: addr("10.42.0.3"), Name: "web-2", Service: "Web", App: "shop", Networks: []string{"n1"}, Serving: true},
		{Address: addr("10.42.0.2"), Name: "web-1", Service: "web", App: "shop", Networks: []string{"n1", "front"}, Serving: true},
		{Address: addr("10.42.0.4"), Name: "web-3", Service: "web", App: "shop", Networks: []string{"n1"}},
		{Address: addr("10.42.0.5"), Name: "db-1", Service: "db", App: "shop", Networks: []string{"n1"}, Aliases: []string{"Postgres", "db.local"}, Serving: true},
		{Address: addr("10.42.0.6"), Name: "proxy-1", Service: "proxy", App: "edge", Networks: []string{"front"}, Serving: true},
		{Address: addr("10.42.1.2"), Name: "web-1", Service: "web", App: "shop", Networks: []string{"other"}, Serving: true},
		{Address: addr("10.42.1.3"), Name: "example-1", Service: "example", App: "com", Networks: []string{"other"}, Serving: true},
		{Address: addr("10.42.0.9"), Name: "alone-1", Service: "alone", App: "alone", Serving: true},
	}}
}

func TestLookup(t *testing.T) {
	names := NewNames(twoTenants())
	for _, tc := range []struct {
		asker, name string
		want        string // addresses, or the outcome
	}{
		{"10.42.0.5", "web", "[10.42.0.2 10.42.0.3]"},
		{"10.42.0.5", "WEB.", "[10.42.0.2 10.42.0.3]"},
		{"10.42.0.5", "web.shop", "[10.42.0.2 10.42.0.3]"},
		{"10.42.0.5", "web.shop.skerry.internal.", "[10.42.0.2 10.42.0.3]"},
		{"10.42.0.5", "web.skerry.internal", "[10.42.0.2 10.42.0.3]"}, // through the search domain
		{"10.42.0.5", "web-2", "[10.42.0.3]"},
		{"10.42.0.5", "web-2.shop", "[10.42.0.3]"},
		{"10.42.0.5", "web-3", "[]"}, // it exists, but does not serve
		{"10.42.0.2", "postgres", "[10.42.0.5]"},
		{"10.42.0.2", "db.local", "[10.42.0.5]"},
		{"10.42.0.2", "db.local.shop.skerry.internal", "[10.42.0.5]"},
		{"10.42.0.2", "proxy.edge", "[10.42.0.6]"}, // another app on a shared network
		{"10.42.0.2", "proxy", "none"},             // a short name is of the own app
		{"10.42.0.6", "web.shop", "[10.42.0.2]"},   // only the replica that is on the shared network
		{"10.42.0.5", "proxy.edge", "elsewhere"},   // not on it
		{"10.42.0.5", "proxy.edge.skerry.internal", "none"},
		{"10.42.1.2", "web", "[10.42.1.2]"}, // the other tenant's app of that name
		{"10.42.1.2", "db", "none"},
		{"10.42.1.2", "db.shop.skerry.internal", "none"},
		{"10.42.1.2", "example.com", "[10.42.1.3]"},
		{"10.42.0.2", "example.com", "elsewhere"}, // nobody else's names change
		{"10.42.1.2", "www.com", "elsewhere"},
		{"10.42.0.2", "debian.org", "elsewhere"},
		{"10.42.0.2", ".", "elsewhere"},
		{"10.42.0.2", "skerry.internal", "[]"},
		{"10.42.0.9", "alone", "[10.42.0.9]"}, // in no network: itself
		{"10.42.0.9", "web.shop.skerry.internal", "none"},
		{"10.42.7.7", "web", "not yet"},
		{"10.42.7.7", "debian.org", "elsewhere"},
		{"192.0.2.1", "web", "refused"},
		{"192.0.2.1", "debian.org", "refused"},
	} {
		got, outcome := names.Lookup(addr(tc.asker), tc.name)
		if said := say(got, outcome); said != tc.want {
			t.Errorf("%s asks %q: %s, want %s", tc.asker, tc.name, said, tc.want)
		}
	}
}

func TestReverse(t *testing.T) {
	names := NewNames(twoTenants())
	for _, tc := range []struct{ asker, address, want string }{
		{"10.42.0.5", "10.42.0.2", "web-1.shop.skerry.internal"},
		{"10.42.0.5", "10.42.1.2", "none"},
		{"10.42.0.5", "10.42.200.1", "none"},
		{"10.42.0.5", "169.254.1.1", "none"},
		{"10.42.0.5", "192.0.2.1", "elsewhere"},
		{"192.0.2.1", "10.42.0.2", "refused"},
	} {
		got, outcome := names.Reverse(addr(tc.asker), addr(tc.address))
		if outcome != Answered {
			got = say(nil, outcome)
		}
		if got != tc.want {
			t.Errorf("%s asks for %s: %s, want %s", tc.asker, tc.address, got, tc.want)
		}
	}
}

func TestInApp(t *testing.T) {
	names := NewNames(twoTenants())
	if !names.InApp(addr("10.42.0.5"), "wbe.shop.") || names.InApp(addr("10.42.0.5"), "www.com") || names.InApp(addr("10.42.0.5"), "shop") {
		t.Error("only names in an app that the asker sees are in an app")
	}
}

func TestSnapshotIsNotKept(t *testing.T) {
	s := twoTenants()
	names := NewNames(s)
	s.Endpoints[1].Networks[0], s.Endpoints[3].Aliases[0] = "changed", "changed"
	if got, _ := names.Lookup(addr("10.42.0.5"), "web-1"); !slices.Equal(got, []netip.Addr{addr("10.42.0.2")}) {
		t.Errorf("after a change of the input: %v", got)
	}
}

func say(addresses []netip.Addr, outcome Outcome) string {
	if outcome == Answered {
		return fmt.Sprint(addresses)
	}
	return map[Outcome]string{NoSuchName: "none", Elsewhere: "elsewhere", NotYet: "not yet", Refused: "refused"}[outcome]
}
