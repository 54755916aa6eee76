package command

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Copy gives what Decode makes of Encode(c), without the detour over bytes:
// times without the monotonic clock and in UTC, what the encoding leaves out as
// nil, and no memory that c can reach but its strings. The node that encoded an
// entry applies such copies, all others decode: both must be the same value.
//
// Where that is not certain (text that is no UTF-8, a time zone, a type with an
// encoding of its own) ok is false, and the caller decodes. c must be one that
// Encode took.
func Copy(c Command) (same Command, ok bool) {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, false
	}
	dst := reflect.New(v.Type().Elem())
	dst.Elem().Set(v.Elem())
	if !copierOf(v.Type().Elem())(dst.Elem()) {
		return nil, false
	}
	same, ok = dst.Interface().(Command)
	return same, ok
}

// copier turns a value that was copied flatly into a deep copy of the form that
// decoding gives; false if it cannot. v can be set. nil: there is nothing to do.
type copier func(v reflect.Value) bool

var copiers sync.Map // reflect.Type -> copier of a command's struct

func copierOf(t reflect.Type) copier {
	if f, ok := copiers.Load(t); ok {
		return f.(copier)
	}
	f := copierFor(t)
	if f == nil {
		f = func(reflect.Value) bool { return true }
	}
	copiers.Store(t, f)
	return f
}

func cannot(reflect.Value) bool { return false }

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// copierFor makes the copier of a type. A type that it does not know gets one
// that refuses, so that a field of a new kind costs time and nothing else.
func copierFor(t reflect.Type) copier {
	switch t {
	case reflect.TypeFor[time.Time]():
		return copyTime
	case reflect.TypeFor[netip.Addr]():
		return func(v reflect.Value) bool { return v.Addr().Interface().(*netip.Addr).Zone() == "" }
	case reflect.TypeFor[netip.Prefix]():
		return copyPrefix
	}
	if p := reflect.PointerTo(t); p.Implements(jsonMarshaler) || p.Implements(textMarshaler) {
		return cannot
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.String:
		return func(v reflect.Value) bool { return utf8.ValidString(v.String()) }
	case reflect.Struct:
		return structCopier(t)
	case reflect.Slice:
		return sliceCopier(t)
	case reflect.Map:
		return mapCopier(t)
	case reflect.Pointer:
		return pointerCopier(t)
	default:
		return cannot
	}
}

func copyTime(v reflect.Value) bool {
	t := v.Addr().Interface().(*time.Time)
	if _, offset := t.Zone(); offset != 0 {
		return false
	}
	*t = t.Round(0).UTC() // without the monotonic clock
	return true
}

func copyPrefix(v reflect.Value) bool {
	p := v.Addr().Interface().(*netip.Prefix)
	return *p == netip.Prefix{} || p.IsValid() && !p.Addr().Is4In6()
}

// field is a part of a struct that a flat copy does not do.
type field struct {
	index   int
	omitted bool // the encoding leaves out an empty one
	copy    copier
}

func structCopier(t reflect.Type) copier {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || strings.Contains(options, "string") {
			return cannot
		}
		empties := f.Type.Kind() == reflect.Slice || f.Type.Kind() == reflect.Map
		fn := copierFor(f.Type)
		if fn != nil {
			fields = append(fields, field{i, empties && strings.Contains(options, "omitempty"), fn})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return func(v reflect.Value) bool {
		for i := range fields {
			f := &fields[i]
			fv := v.Field(f.index)
			if f.omitted && fv.Len() == 0 {
				fv.SetZero()
				continue
			}
			if !f.copy(fv) {
				return false
			}
		}
		return true
	}
}

func sliceCopier(t reflect.Type) copier {
	item := copierFor(t.Elem())
	return func(v reflect.Value) bool {
		if v.IsNil() {
			return true
		}
		n := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(n, v)
		v.Set(n)
		if item == nil {
			return true
		}
		for i := range n.Len() {
			if !item(n.Index(i)) {
				return false
			}
		}
		return true
	}
}

func mapCopier(t reflect.Type) copier {
	item := copierFor(t.Elem())
	if t.Key().Kind() != reflect.String || copierFor(t.Key()) == nil {
		return cannot
	}
	word := copierFor(t.Key())
	return func(v reflect.Value) bool {
		if v.IsNil() {
			return true
		}
		n := reflect.MakeMapWithSize(t, v.Len())
		key, val := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		for each := v.MapRange(); each.Next(); {
			key.SetIterKey(each)
			val.SetIterValue(each)
			if !word(key) || item != nil && !item(val) {
				return false
			}
			n.SetMapIndex(key, val)
		}
		v.Set(n)
		return true
	}
}

func pointerCopier(t reflect.Type) copier {
	item := copierFor(t.Elem())
	return func(v reflect.Value) bool {
		if v.IsNil() {
			return true
		}
		n := reflect.New(t.Elem())
		n.Elem().Set(v.Elem())
		v.Set(n)
		return item == nil || item(n.Elem())
	}
}
