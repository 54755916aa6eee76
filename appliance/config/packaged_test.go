package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/skerryhq/skerry/appliance/config"
)

// The file that the package installs must name every key, with the value that
// holds without it, and be accepted as it is.
func TestPackagedFileNamesEveryKey(t *testing.T) {
	file := filepath.Join("..", "..", "packaging", "deb", "config.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(config.Default(), file, noEnv); err != nil || !reflect.DeepEqual(c, config.Default()) {
		t.Fatalf("as installed it must change nothing: %+v, %v", c, err)
	}
	first := map[string]string{} // the first line of a key is its default, later ones are examples
	for _, m := range regexp.MustCompile(`(?m)^#([a-z_]+):(.*)$`).FindAllStringSubmatch(string(text), -1) {
		if _, seen := first[m[1]]; !seen {
			first[m[1]] = m[2]
		}
	}
	var lines strings.Builder
	for key, value := range first {
		lines.WriteString(key + ":" + value + "\n")
	}
	dec := yaml.NewDecoder(bytes.NewReader([]byte(lines.String())))
	dec.KnownFields(true)
	var c config.Config
	if err := dec.Decode(&c); err != nil {
		t.Fatalf("a key of the file is not one of the daemon's: %v", err)
	}
	c.EngineDir, c.SANs = "", nil // found at start; an empty list is none
	if !reflect.DeepEqual(c, config.Default()) {
		t.Errorf("the values shown are not those that hold:\n%+v\n%+v", c, config.Default())
	}
	for f := range reflect.TypeFor[config.Config]().Fields() {
		if key := strings.Split(f.Tag.Get("yaml"), ",")[0]; key != "-" && first[key] == "" {
			t.Errorf("key %q is not in packaging/deb/config.yaml", key)
		}
	}
}

func TestNamesForTheCertificate(t *testing.T) {
	for name, good := range map[string]bool{
		"cloud.example.com": true, "*.example.com": true, "192.0.2.10": true, "2001:db8::1": true, "host": true, "a_b.local": true,
		"https://cloud.example.com": false, "cloud.example.com:7443": false, "": false, "a..b": false, "a.*.b": false, "-x.y": false, "a b": false,
	} {
		c := config.Default()
		c.Name, c.SANs = "n1", []string{name}
		_, err := c.Resolve()
		if good != (err == nil) {
			t.Errorf("%q: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "san: ") {
			t.Errorf("%q: the key is not named: %v", name, err)
		}
	}
}
