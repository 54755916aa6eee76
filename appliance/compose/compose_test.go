package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/compose.md")

var testEnv = map[string]string{"REPLICAS": "3", "FROM_CLIENT": "from client", "SET": "set", "EMPTY": ""}

var testFiles = map[string]string{"web.env": "# comment\nA=1\nB=\"two words\"\nexport C=${SET}-more\nGREETING=overridden\n"}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

func inputs(t *testing.T, folder string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no inputs in testdata/%s: %v", folder, err)
	}
	all := map[string]string{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(p, ".yaml")] = string(text)
	}
	return all
}

func TestGood(t *testing.T) {
	for base, source := range inputs(t, "good") {
		app, err := Load(t.Context(), Input{Source: source, Env: testEnv, Files: testFiles})
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		out, err := json.MarshalIndent(app, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, base+".json", append(out, '\n'))
		for range 3 {
			again, err := Load(t.Context(), Input{Source: source, Env: testEnv, Files: testFiles})
			if err != nil || !reflect.DeepEqual(app, again) {
				t.Fatalf("%s: a second reading differs (%v)", base, err)
			}
		}
	}
}

func TestBad(t *testing.T) {
	for base, source := range inputs(t, "bad") {
		_, err := Load(t.Context(), Input{Source: source, Env: testEnv, Files: testFiles})
		if err == nil {
			t.Errorf("%s: accepted", base)
			continue
		}
		golden(t, base+".txt", []byte(err.Error()+"\n"))
		if p, ok := errors.AsType[*model.Error](err); !ok || p.Kind != model.KindInvalid || p.Code != "compose_invalid" {
			t.Errorf("%s: not a model error of kind invalid: %#v", base, p)
		}
	}
}

func TestBounds(t *testing.T) {
	for name, source := range map[string]string{
		"5 MB":          strings.Repeat("# padding padding\n", 5<<20/18),
		"deep":          "services: " + strings.Repeat("[", 400) + strings.Repeat("]", 400),
		"many nodes":    "services: [" + strings.Repeat("0,", 60_000) + "0]",
		"many services": "services: {" + manyServices(300) + "}",
		"many ports":    "services: {a: {image: x, ports: ['1-900:1-900', '2001-2900:1-900']}}",
		"many problems": "services: {" + strings.Repeat("A_, ", 500) + "b: {image: x}}",
	} {
		_, err := Load(t.Context(), Input{Source: source})
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 20_000 {
			t.Errorf("%s: %d characters of refusal", name, len(err.Error()))
		}
	}
	env := map[string]string{"BIG": strings.Repeat("x", 1<<20)}
	_, err := Load(t.Context(), Input{Source: "services: {a: {image: x, command: [" + strings.Repeat("'${BIG}',", 1000) + "]}}", Env: env})
	if err == nil || !strings.Contains(err.Error(), "expand") {
		t.Errorf("interpolation is not bounded: %.200v", err)
	}
}

func manyServices(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("s" + strings.Repeat("x", i%60) + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ": {image: x}, ")
	}
	return b.String()
}

func TestReferences(t *testing.T) {
	source := "name: n\nservices: {a: {env_file: [b.env, {path: 'x/${SET}.env'}], nonsense: 1}, c: {image: x, env_file: a.env}}"
	if got := References(source, testEnv); !reflect.DeepEqual(got, []string{"a.env", "b.env", "x/set.env"}) {
		t.Errorf("References = %q", got)
	}
	if got := NameOf(source, nil); got != "n" {
		t.Errorf("NameOf = %q", got)
	}
	if got := References("services: [", nil); len(got) != 0 {
		t.Errorf("References of broken text = %q", got)
	}
}

func TestRenderRoundTrip(t *testing.T) {
	for base, source := range inputs(t, "good") {
		first, err := Load(t.Context(), Input{Source: source, Env: testEnv, Files: testFiles})
		if err != nil {
			t.Fatal(err)
		}
		text, err := Render(first.Name, first.Services)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, base+".rendered", []byte(text))
		second, err := Load(t.Context(), Input{Source: text})
		if err != nil {
			t.Fatalf("%s: what Render wrote is refused: %v\n%s", base, err, text)
		}
		if !reflect.DeepEqual(first.Services, second.Services) {
			a, _ := json.MarshalIndent(first.Services, "", " ")
			b, _ := json.MarshalIndent(second.Services, "", " ")
			t.Errorf("%s: services changed on the way:\n%s\n%s", base, a, b)
		}
	}
}

func TestParsePorts(t *testing.T) {
	for in, want := range map[string]string{
		"80": "80", ":80": "80", "8080:80": "8080:80", "127.0.0.1:8080:80": "127.0.0.1:8080:80",
		"127.0.0.1::80": "127.0.0.1::80", "53:53/udp": "53:53/udp", "80/tcp": "80", "1-2:3-4": "1:3 2:4",
		"": "!", "0": "!", "65536": "!", "-1:80": "!", "80:": "!", ":": "!", "x": "!", "1:2/icmp": "!", "+80": "!", "1:1:1": "!", "::1:80:80": "!",
	} {
		specs, err := ParsePorts(in)
		got := "!"
		if err == nil {
			var words []string
			for _, s := range specs {
				words = append(words, PortText(s))
			}
			got = strings.Join(words, " ")
		}
		if got != want {
			t.Errorf("ParsePorts(%q) = %s (%v), want %s", in, got, err, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "10": 10, "1k": 1024, "1.5g": 3 << 29, "512M": 512 << 20, "2GiB": 2 << 30, " 1 mb": 1 << 20, "1t": 1 << 40,
		"": -1, "-1": -1, "-5m": -1, "1x": -1, "m": -1, "9e9g": -1, "NaN": -1, "999999999p": -1, "1_0": -1, "1mm": -1,
	} {
		got, err := ParseBytes(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("ParseBytes(%q) = %d (%v), want %d", in, got, err, want)
		}
	}
}

func TestMatrixIsCurrent(t *testing.T) {
	golden(t, filepath.Join("..", "..", "docs", "compose.md"), []byte(Matrix()))
}

func FuzzLoad(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		paths, _ := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		for _, p := range paths {
			text, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, source string) {
		hang := time.AfterFunc(5*time.Second, func() { panic(fmt.Sprintf("not done after 5 s: %q", source)) })
		defer hang.Stop()
		in := Input{Source: source, Env: testEnv, Files: testFiles}
		References(source, testEnv)
		app, err := Load(t.Context(), in)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" || len(err.Error()) > 1<<20 {
				t.Fatalf("a refusal of %d characters", len(err.Error()))
			}
			return
		}
		text, err := Render(app.Name, app.Services)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Load(t.Context(), Input{Source: text})
		if err != nil {
			t.Fatalf("what Render wrote is refused: %v\n%s", err, text)
		}
		if !reflect.DeepEqual(app.Services, again.Services) {
			t.Fatalf("services changed on the way:\n%#v\n%#v\n%s", app.Services, again.Services, text)
		}
	})
}

func TestVariables(t *testing.T) {
	source := "x: &a ${ONE:-${TWO}}\nservices: {a: {image: 'x:$THREE $$NOT', environment: [FOUR, FIVE=5, 'SIX=${SEVEN}'], labels: *a}, b: {environment: {EIGHT: , NINE: 9}}}"
	want := []string{"EIGHT", "FOUR", "ONE", "SEVEN", "THREE", "TWO"}
	if got := Variables(source); !reflect.DeepEqual(got, want) {
		t.Errorf("Variables = %q, want %q", got, want)
	}
}
