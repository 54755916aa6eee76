package peer

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

func TestTokenRoundTrip(t *testing.T) {
	for _, role := range []model.NodeRole{model.NodeMember, model.NodeWorker} {
		for _, env := range []string{"default", "a.b-c"} {
			in := NewToken(role, env, time.Now().Add(time.Hour), [32]byte{1, 2, 3})
			text := in.String()
			if strings.ContainsAny(text, " \n\t") {
				t.Fatalf("%q is not one word", text)
			}
			out, err := ParseToken("  " + text + "\n")
			if err != nil || !reflect.DeepEqual(in, out) {
				t.Fatalf("%s: %+v became %+v, %v", text, in, out, err)
			}
			if string(in.Hash()) != string(out.Hash()) || len(in.Hash()) != 32 {
				t.Fatal("the hash of the secret differs")
			}
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	good := NewToken(model.NodeMember, "default", time.Unix(1_800_000_000, 0), [32]byte{7}).String()
	part := func(i int, s string) string {
		p := strings.Split(good, ".")
		p[i] = s
		return strings.Join(p, ".")
	}
	for name, tc := range map[string]struct{ text, code, says string }{
		"empty":        {"", "join_token_malformed", "SK1."},
		"other text":   {"hello", "join_token_malformed", "SK1."},
		"newer form":   {part(0, "SK2"), "version_too_old", "SK2"},
		"cut off":      {"SK1.m." + strings.Split(good, ".")[2], "join_token_malformed", "its end is missing"},
		"role":         {part(1, "x"), "join_token_malformed", "role (part 2)"},
		"expiry":       {part(2, "?"), "join_token_malformed", "expiry (part 3)"},
		"environment":  {part(3, ""), "join_token_malformed", "environment (part 4)"},
		"pin":          {part(4, "abc"), "join_token_malformed", "fingerprint"},
		"secret":       {part(5, "abc"), "join_token_malformed", "secret (the last part)"},
		"secret chars": {part(5, strings.Repeat("!", 32)), "join_token_malformed", "secret (the last part)"},
		"last is lost": {good[:len(good)-1], "join_token_malformed", "secret (the last part)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseToken(tc.text)
			code(t, err, tc.code)
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
			if _, secret, ok := strings.Cut(good, strings.Split(good, ".")[4]+"."); ok && strings.Contains(err.Error(), secret) {
				t.Error("the secret is in the sentence")
			}
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(NewToken(model.NodeMember, "default", time.Unix(1_800_000_000, 0), [32]byte{7}).String())
	f.Add("SK1.m.a.b.c.d")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := ParseToken(text)
		if err != nil {
			if model.CodeOf(err) == "" {
				t.Fatalf("%v has no code", err)
			}
			return
		}
		if again, err := ParseToken(in.String()); err != nil || !reflect.DeepEqual(in, again) {
			t.Fatalf("%q became %q, %v", text, in.String(), err)
		}
	})
}
