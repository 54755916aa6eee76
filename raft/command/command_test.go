package command_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
)

var update = flag.Bool("update", false, "write the golden files of commands that have none")

// fill sets every field of a command to something that is not zero, so that a
// golden file shows every field's form.
func fill(v reflect.Value, depth int) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 30, 45, 678900000, time.UTC)))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.42.0.7")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.42.0.0/26")))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(9)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(k, depth+1)
		fill(e, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(k, e)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth)
		}
	default:
		panic("fill " + v.Kind().String())
	}
}

func sample(t testing.TB, typ command.Type) command.Command {
	t.Helper()
	c := blank(t, typ)
	fill(reflect.ValueOf(c).Elem(), 0)
	return c
}

// missing says which part of an older JSON value a newer one lacks or changed;
// what the newer one has besides is a field that was added since.
func missing(t *testing.T, older, newer []byte) string {
	t.Helper()
	var o, n any
	if err := errors.Join(json.Unmarshal(older, &o), json.Unmarshal(newer, &n)); err != nil {
		t.Fatal(err)
	}
	return lacks("", o, n)
}

func lacks(path string, o, n any) string {
	switch o := o.(type) {
	case map[string]any:
		n, _ := n.(map[string]any)
		for k, v := range o {
			if lost := lacks(path+"."+k, v, n[k]); lost != "" {
				return lost
			}
		}
		return ""
	case []any:
		n, _ := n.([]any)
		if len(n) != len(o) {
			return path
		}
		for i := range o {
			if lost := lacks(fmt.Sprintf("%s[%d]", path, i), o[i], n[i]); lost != "" {
				return lost
			}
		}
		return ""
	}
	if !reflect.DeepEqual(o, n) {
		return path
	}
	return ""
}

// TestGolden decodes every command from the bytes that the first release wrote
// and loses nothing of it. The files may be added to, never changed.
func TestGolden(t *testing.T) {
	for _, typ := range command.Types() {
		t.Run(typ.Name(), func(t *testing.T) {
			want := sample(t, typ)
			path := filepath.Join("testdata", "v1", fmt.Sprintf("%03d-%s.bin", uint16(typ), typ.Name()))
			golden, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) && *update {
				if golden, err = command.Encode(want); err != nil {
					t.Fatal(err)
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, golden, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := command.Decode(golden)
			if err != nil {
				t.Fatal(err)
			}
			again, err := command.Encode(got)
			if err != nil {
				t.Fatal(err)
			}
			if lost := missing(t, golden[3:], again[3:]); lost != "" {
				t.Fatalf("%s of the golden file is lost: it reads back as\n%s\nand was\n%s", lost, again, golden)
			}
			if got.Type() != typ || got.From().Actor != "text" {
				t.Fatalf("type %d, origin %+v", got.Type(), got.From())
			}
		})
	}
}

// TestNumbers wants a golden file for every number and no two names alike.
func TestNumbers(t *testing.T) {
	names := map[string]command.Type{}
	word := regexp.MustCompile(`^[a-z]+\.[a-z-]+$`)
	for _, typ := range command.Types() {
		if other, ok := names[typ.Name()]; ok || !word.MatchString(typ.Name()) {
			t.Errorf("type %d is named %q (so is %d)", typ, typ.Name(), other)
		}
		names[typ.Name()] = typ
		if typ.MinLevel() > command.Level {
			t.Errorf("%s needs level %d, this binary knows %d", typ.Name(), typ.MinLevel(), command.Level)
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "v1", "*.bin"))
	if err != nil || len(files) != len(names) {
		t.Fatalf("%d golden files for %d commands: %v", len(files), len(names), err)
	}
}

func TestEntry(t *testing.T) {
	var envelopes [][]byte
	for range 3 {
		b, err := command.Encode(sample(t, command.TypePutVolume))
		if err != nil {
			t.Fatal(err)
		}
		envelopes = append(envelopes, b)
	}
	entry := command.EncodeEntry("1.2.3", envelopes)
	cmds, err := command.DecodeEntry(entry)
	if err != nil || len(cmds) != 3 {
		t.Fatalf("%d commands: %v", len(cmds), err)
	}
	if err := command.CheckEntry(entry); err != nil {
		t.Fatal(err)
	}
	for i := range entry { // every changed byte is found
		bad := bytes.Clone(entry)
		bad[i] ^= 0x20
		if err := command.CheckEntry(bad); err == nil {
			t.Fatalf("byte %d can change unseen", i)
		}
	}
	for i := range entry { // so is every cut
		if err := command.CheckEntry(entry[:i]); err == nil {
			t.Fatalf("an entry cut at byte %d passes", i)
		}
	}
	unknown := command.EncodeEntry("9.9.9", [][]byte{envelopes[0], {1, 0xff, 0xff, '{', '}'}})
	_, err = command.DecodeEntry(unknown)
	u, ok := errors.AsType[*command.UnknownError](err)
	if !ok || u.Type != 0xffff || u.WrittenBy != "9.9.9" || !strings.Contains(err.Error(), "install version 9.9.9") {
		t.Fatalf("an unknown command: %v", err)
	}
	if err := command.CheckEntry(unknown); err == nil || err.Error() != u.Error() {
		t.Fatalf("checking an unknown command: %v", err)
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := command.NewID()
		if !regexp.MustCompile(`^[a-z2-7]{16}$`).MatchString(id) || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

// FuzzDecode wants no panic, and what was decoded once to be the same for ever.
func FuzzDecode(f *testing.F) {
	for _, typ := range command.Types() {
		b, err := command.Encode(sample(f, typ))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := command.Decode(in)
		if err != nil {
			return
		}
		one, err := command.Encode(c)
		if err != nil {
			return // a year beyond 9999, which JSON refuses
		}
		again, err := command.Decode(one)
		if err != nil {
			t.Fatal(err)
		}
		two, err := command.Encode(again)
		if err != nil || !bytes.Equal(one, two) {
			t.Fatalf("%v\n%s\n%s", err, one, two)
		}
		_ = c.Refs()
	})
}

func FuzzDecodeEntry(f *testing.F) {
	b, err := command.Encode(sample(f, command.TypePutApp))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(command.EncodeEntry("1", [][]byte{b, b}))
	f.Fuzz(func(t *testing.T, in []byte) {
		cmds, err := command.DecodeEntry(in)
		if err == nil && command.CheckEntry(in) != nil {
			t.Fatalf("%d commands were decoded from an entry that does not pass", len(cmds))
		}
	})
}

// BenchmarkCodec measures what every write costs on its way in and out.
func BenchmarkCodec(b *testing.B) {
	c := sample(b, command.TypeSetContainerStatus)
	enc, err := command.Encode(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := command.Encode(c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			if _, ok := command.Copy(c); !ok {
				b.Fatal("not copied")
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(enc)))
		for b.Loop() {
			if _, err := command.Decode(enc); err != nil {
				b.Fatal(err)
			}
		}
	})
}
