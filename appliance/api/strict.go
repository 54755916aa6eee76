package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/raft/model"
)

// parse is json.Unmarshal that refuses unknown fields and trailing text. What
// it refuses is looked at a second time, slowly, to say where and why.
func parse(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); errors.Is(more, io.EOF) {
			return nil
		}
		return invalid("json_invalid", "%s: there is text behind the end of the JSON object", place(body, dec.InputOffset()))
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return invalid("json_invalid", "%s: this is no JSON (%s)", place(body, syntax.Offset), syntax.Error())
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("json_invalid", "%s: the JSON ends in the middle", place(body, int64(len(body))))
	}
	f := finder{body: body, dec: json.NewDecoder(bytes.NewReader(body))}
	f.dec.UseNumber()
	if found := f.value(reflect.TypeOf(v).Elem(), ""); found != nil {
		return found
	}
	return &model.Error{Kind: model.KindInvalid, Code: "field_invalid", Detail: "the JSON does not fit", Err: err}
}

// place says where in the body an offset is.
func place(body []byte, offset int64) string {
	offset = min(max(offset, 0), int64(len(body)))
	before := body[:offset]
	return fmt.Sprintf("line %d, column %d", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n'))
}

// finder walks a JSON text beside the type that it should fit.
type finder struct {
	body []byte
	dec  *json.Decoder
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func (f *finder) refuse(code, path, format string, args ...any) error {
	return model.Errorf(model.KindInvalid, code, "%s: %s", place(f.body, f.dec.InputOffset()), fmt.Sprintf(format, args...)).At(path)
}

// value checks the next value; nil means that it fits.
func (f *finder) value(t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	tok, err := f.dec.Token()
	if err != nil || tok == nil {
		return nil //nolint:nilerr // syntax was checked before; null fits everything
	}
	if d, ok := tok.(json.Delim); ok {
		return f.compound(d, t, path)
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return f.text(tok, t, path)
	}
	return f.scalar(tok, t, path)
}

func (f *finder) compound(d json.Delim, t reflect.Type, path string) error {
	switch {
	case d == '{' && t.Kind() == reflect.Struct:
		return f.object(t, path)
	case d == '{' && t.Kind() == reflect.Map:
		return f.entries(t, path)
	case d == '[' && t.Kind() == reflect.Slice:
		for i := 0; f.dec.More(); i++ {
			if err := f.value(t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		_, _ = f.dec.Token()
		return nil
	case d == '{':
		return f.refuse("field_invalid", path, "an object stands where %s belongs", wanted(t))
	default:
		return f.refuse("field_invalid", path, "a list stands where %s belongs", wanted(t))
	}
}

func (f *finder) object(t reflect.Type, path string) error {
	fields := fieldsOf(t)
	for f.dec.More() {
		tok, err := f.dec.Token()
		if err != nil {
			return nil //nolint:nilerr // as in value: parse has an answer of its own then
		}
		name, _ := tok.(string)
		ft, ok := lookup(fields, name)
		if !ok {
			return f.refuse("field_unknown", under(path, name), "there is no field %q here%s", name, nearest(fields, name))
		}
		if err := f.value(ft, under(path, name)); err != nil {
			return err
		}
	}
	_, _ = f.dec.Token()
	return nil
}

func (f *finder) entries(t reflect.Type, path string) error {
	for f.dec.More() {
		tok, err := f.dec.Token()
		if err != nil {
			return nil //nolint:nilerr // as in value: parse has an answer of its own then
		}
		name, _ := tok.(string)
		if err := f.value(t.Elem(), under(path, name)); err != nil {
			return err
		}
	}
	_, _ = f.dec.Token()
	return nil
}

func (f *finder) text(tok json.Token, t reflect.Type, path string) error {
	s, ok := tok.(string)
	if !ok {
		return f.refuse("field_invalid", path, "%s stands where a text belongs", given(tok))
	}
	if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		return f.refuse("field_invalid", path, "%q does not fit here (%s)", s, err.Error())
	}
	return nil
}

func (f *finder) scalar(tok json.Token, t reflect.Type, path string) error {
	fits := false
	switch v := tok.(type) {
	case string:
		fits = t.Kind() == reflect.String || (t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8)
	case bool:
		fits = t.Kind() == reflect.Bool
	case json.Number:
		return f.number(v.String(), t, path)
	}
	if fits || t.Kind() == reflect.Interface {
		return nil
	}
	return f.refuse("field_invalid", path, "%s stands where %s belongs", given(tok), wanted(t))
}

func (f *finder) number(s string, t reflect.Type, path string) error {
	var err error
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		_, err = strconv.ParseInt(s, 10, t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		_, err = strconv.ParseUint(s, 10, t.Bits())
	case reflect.Float32, reflect.Float64, reflect.Interface:
		return nil
	default:
		return f.refuse("field_invalid", path, "the number %s stands where %s belongs", s, wanted(t))
	}
	if err != nil {
		return f.refuse("field_invalid", path, "%s is out of range or no whole number; use %s", s, wanted(t))
	}
	return nil
}

func given(tok json.Token) string {
	switch v := tok.(type) {
	case string:
		return "the text " + strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	default:
		return fmt.Sprintf("the number %v", v)
	}
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Uint, reflect.Uint64:
		return "a number from 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	default:
		if reflect.PointerTo(t).Implements(textUnmarshaler) {
			return "a text"
		}
		return "an object"
	}
}

// fieldsOf lists the JSON fields of a struct with their types, those of
// embedded structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for n, ft := range fieldsOf(f.Type) {
				out[n] = ft
			}
		case f.IsExported() && name != "" && name != "-":
			out[name] = f.Type
		}
	}
	return out
}

// lookup finds a field as encoding/json does, whatever the letters' case.
func lookup(fields map[string]reflect.Type, name string) (reflect.Type, bool) {
	if t, ok := fields[name]; ok {
		return t, true
	}
	for n, t := range fields {
		if strings.EqualFold(n, name) {
			return t, true
		}
	}
	return nil, false
}

// nearest proposes the field that the user may have meant, else lists them all.
func nearest(fields map[string]reflect.Type, name string) string {
	names := make([]string, 0, len(fields))
	for n := range fields {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if len(name) > 2 && (strings.HasPrefix(n, name) || strings.HasPrefix(name, n) || distance(n, name) <= 2) {
			return fmt.Sprintf("; did you mean %q?", n)
		}
	}
	return "; there are " + strings.Join(names, ", ")
}

// distance counts the letters to change, add or drop to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
