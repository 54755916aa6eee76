package command_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/raft/command"
)

// draw sets every field of a value to something that a caller may send, odd
// forms included: empty and missing lists, times of the clock, bytes that are no
// text.
func draw(t *rapid.T, v reflect.Value, odd bool) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		switch rapid.IntRange(0, 4).Draw(t, "time") {
		case 0:
			*p = time.Time{}
		case 1:
			*p = time.Now() // monotonic, local
		case 2:
			*p = time.Now().UTC()
		case 3:
			*p = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "sec"), rapid.Int64Range(0, 1e9-1).Draw(t, "nsec")).UTC()
		default:
			*p = time.Now()
			if odd {
				*p = p.In(time.FixedZone("away", 3600))
			}
		}
		return
	case *netip.Addr:
		*p = netip.MustParseAddr(rapid.SampledFrom([]string{"10.0.0.1", "fd00::1", "::ffff:10.0.0.1"}).Draw(t, "addr"))
		if rapid.Bool().Draw(t, "none") {
			*p = netip.Addr{}
		}
		return
	case *netip.Prefix:
		*p = netip.MustParsePrefix(rapid.SampledFrom([]string{"10.0.0.9/26", "fd00::/8"}).Draw(t, "prefix"))
		if rapid.Bool().Draw(t, "none") {
			*p = netip.Prefix{}
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		words := []string{"", "web", "a<b>&c", "äöü \u2028 \x00\t\"\\", "\ufffd"}
		if odd {
			words = append(words, "cut \xff\xfe", "\xed\xa0\x80")
		}
		v.SetString(rapid.SampledFrom(words).Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint") >> (64 - v.Type().Bits()))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, v.Elem(), odd)
		}
	case reflect.Slice:
		n := rapid.IntRange(-1, 2).Draw(t, "len")
		if n < 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n+1))
		for i := range n {
			draw(t, v.Index(i), odd)
		}
	case reflect.Map:
		n := rapid.IntRange(-1, 2).Draw(t, "len")
		if n < 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			draw(t, k, odd)
			draw(t, e, odd)
			v.SetMapIndex(k, e)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			draw(t, v.Field(i), odd)
		}
	default:
		panic("draw " + v.Kind().String())
	}
}

// decoded is c after its way over bytes.
func decoded(t rapid.TB, c command.Command) command.Command {
	b, err := command.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCopyIsDecode is what the replicas' being equal rests on: a copy is, to the
// last nil and bit of time, what the others decode.
func TestCopyIsDecode(t *testing.T) {
	for _, typ := range command.Types() {
		t.Run(typ.Name(), func(t *testing.T) {
			plain := 0
			rapid.Check(t, func(t *rapid.T) {
				odd := rapid.Bool().Draw(t, "odd")
				c := reflect.New(reflect.TypeOf(blank(t, typ)).Elem())
				draw(t, c.Elem(), odd)
				given := c.Interface().(command.Command)
				before := fmt.Sprintf("%#v", given)
				got, ok := command.Copy(given)
				if after := fmt.Sprintf("%#v", given); before != after {
					t.Fatalf("Copy changed what it was given from\n%s\nto\n%s", before, after)
				}
				if !ok {
					if !odd {
						t.Fatalf("not copied: %#v", given)
					}
					return
				}
				plain++
				if want := decoded(t, given); !reflect.DeepEqual(got, want) {
					t.Fatalf("copied\n%#v\ndecoded\n%#v", got, want)
				}
			})
			if plain == 0 {
				t.Fatal("no command was ever copied")
			}
		})
	}
}

// blank is a command of a type with nothing in it.
func blank(t rapid.TB, typ command.Type) command.Command {
	c, err := command.Decode([]byte{1, byte(typ >> 8), byte(typ), '{', '}'})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCopySharesNothing changes everything behind a command after it was copied.
func TestCopySharesNothing(t *testing.T) {
	for _, typ := range command.Types() {
		c := sample(t, typ)
		want := decoded(t, c)
		got, ok := command.Copy(c)
		if !ok {
			t.Fatalf("%s is not copied", typ.Name())
		}
		wipe(reflect.ValueOf(c).Elem())
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the copy changed with the original to %#v", typ.Name(), got)
		}
	}
}

// wipe sets everything that a value can reach to zero.
func wipe(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			wipe(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			wipe(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := v.MapIndex(k)
			if e.Kind() == reflect.Struct {
				for i := range e.NumField() {
					if f := e.Field(i); f.Kind() == reflect.Slice || f.Kind() == reflect.Map {
						wipe(f)
					}
				}
			}
			v.SetMapIndex(k, reflect.Value{})
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				wipe(v.Field(i))
			}
		}
	}
	if v.CanSet() {
		v.SetZero()
	}
}
