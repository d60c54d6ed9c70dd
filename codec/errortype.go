package codec

import (
	"errors"
	"fmt"
	"reflect"
)

// ErrorType is an error type with a name and with what encodes it. It is made by
// [ErrorTypeOf].
type ErrorType struct {
	name   string
	typ    reflect.Type
	err    error // why it can't be registered
	fields []causeField
	// encode returns the codec's name (empty for hooks) and the data.
	encode func(err error) (codec string, data []byte, _ error)
	// decode gets the rebuilt errors that Unwrap returned, and fill, which puts
	// rebuilt errors into the fields of a struct.
	decode func(codec string, data []byte, causes []error, fill func(reflect.Value)) (error, error)
}

// ErrorTypeOptions says how the errors of a type are encoded. Zero fields take
// the defaults.
type ErrorTypeOptions[T error] struct {
	// Codec encodes the error as a value. Default: [JSON].
	//
	// Exported fields of type error or []error are left to the registry: what they
	// hold is recorded as errors are, and put back into the field after decoding,
	// so that an Unwrap method that returns them works on the copy too. That holds
	// for the fields of T itself (or of what T points at), not for fields within
	// its fields.
	Codec Codec
	// Accept lists the codecs of older records, which are read and never written.
	Accept []Codec
	// Encode and Decode replace the codec; either both are set or none. Causes are
	// the rebuilt errors that the type's Unwrap method returned, in their order,
	// less those that were left out of a record that would have become too large;
	// Decode may keep causes and data. Data may come from anybody who can write to
	// the store. An error or a panic of a hook is no failure: the error then keeps
	// its text, its type's name and its causes, and is no T any more.
	Encode func(err T) ([]byte, error)
	Decode func(data []byte, causes []error) (T, error)
	// Restore completes what Codec decoded, by giving it its causes back where they
	// lie in unexported fields, for example. It is not called after Decode.
	Restore func(err T, causes []error) (T, error)
	// Like is an error of the type that is meant, where the type can't be named
	// because its package doesn't export it: T is then error, and Encode and Decode
	// must be set. It is ignored where T isn't an interface.
	Like T
}

// ErrorTypeOf names the type T, which is what the error is when it is wrapped
// into an error interface: usually a pointer, and for types with value receivers
// often the type itself. Both are different types, as they are for errors.As.
//
// [NewErrors] returns an error for a T that is an interface (without Like), that
// its codec's Check refuses, or of which JSON would keep nothing because none of
// its fields is exported.
func ErrorTypeOf[T error](name string, options ErrorTypeOptions[T]) ErrorType {
	o := options
	t := ErrorType{name: name, typ: reflect.TypeFor[T]()}
	refuse := func(format string, args ...any) ErrorType {
		t.err = fmt.Errorf(format, args...)
		return t
	}
	if (o.Encode == nil) != (o.Decode == nil) {
		return refuse("ErrorTypeOptions: Encode and Decode must both be set, or none")
	}
	if o.Encode != nil && (o.Codec != nil || o.Restore != nil) {
		return refuse("ErrorTypeOptions: Encode and Decode are set, so Codec and Restore have no use")
	}
	if t.typ.Kind() == reflect.Interface {
		if any(o.Like) == nil {
			return refuse("%v is an interface, whose errors can't be told apart; name a concrete type, or set Like", t.typ)
		}
		if o.Encode == nil {
			return refuse("ErrorTypeOptions.Like is set, but Encode and Decode are not")
		}
		t.typ = reflect.TypeOf(o.Like)
	}
	codecs := map[string]Codec{}
	for i, c := range o.Accept {
		if c == nil {
			return refuse("ErrorTypeOptions.Accept[%d] is nil", i)
		}
		codecs[c.Name()] = c
	}
	if o.Encode != nil {
		t.encode = func(err error) (string, []byte, error) {
			data, encodeErr := o.Encode(err.(T))
			return "", data, encodeErr
		}
	} else {
		c := o.Codec
		if c == nil {
			c = JSON
		}
		codecs[c.Name()] = c
		t.fields = causeFields(t.typ)
		if t.err = checkErrorType(t.typ, c, t.fields); t.err != nil {
			return t
		}
		t.encode = func(err error) (string, []byte, error) {
			data, encodeErr := c.Append(nil, withoutCauses(err, t.fields, c))
			return c.Name(), data, encodeErr
		}
	}
	t.decode = func(codec string, data []byte, causes []error, fill func(reflect.Value)) (error, error) {
		if codec == "" && o.Decode != nil {
			return notNil(o.Decode(data, causes))
		}
		c, ok := codecs[codec]
		if !ok {
			return nil, fmt.Errorf("it was encoded by codec %q", codec)
		}
		var value T
		if err := c.Decode(data, &value); err != nil {
			return nil, err
		}
		if isNilError(value) {
			return nil, errDecodedNil
		}
		fill(reflect.ValueOf(&value).Elem())
		if o.Restore != nil {
			return notNil(o.Restore(value, causes))
		}
		return value, nil
	}
	return t
}

var errDecodedNil = errors.New("decoded to nil")

func notNil[T error](value T, err error) (error, error) {
	if err == nil && isNilError(value) {
		err = errDecodedNil
	}
	return value, err
}

// causeField is an exported field that holds an error, or several.
type causeField struct {
	name  string
	index int
	many  bool
}

func causeFields(t reflect.Type) (fields []causeField) {
	t = indirect(t)
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		many := f.Type == reflect.TypeFor[[]error]()
		if f.IsExported() && (many || f.Type == reflect.TypeFor[error]()) {
			fields = append(fields, causeField{f.Name, i, many})
		}
	}
	return fields
}

// fieldError is an error in a field.
type fieldError struct {
	field string
	err   error
}

// held returns the errors in the fields of err, a T that isn't nil.
func (t *ErrorType) held(err error) (list []fieldError) {
	if len(t.fields) == 0 {
		return nil
	}
	v := reflect.Indirect(reflect.ValueOf(err))
	for _, f := range t.fields {
		field := v.Field(f.index)
		if !f.many {
			if held, ok := field.Interface().(error); ok {
				list = append(list, fieldError{f.name, held})
			}
			continue
		}
		for _, held := range field.Interface().([]error) {
			if held != nil {
				list = append(list, fieldError{f.name, held})
			}
		}
	}
	return list
}

// fillCause puts a rebuilt error into the field of that name. A field that the
// codec has filled is left alone, and so is one that is gone.
func (t *ErrorType) fillCause(value reflect.Value, name string, cause error) {
	value = reflect.Indirect(value)
	for _, f := range t.fields {
		field := value.Field(f.index)
		switch {
		case f.name != name:
		case f.many:
			field.Set(reflect.Append(field, reflect.ValueOf(cause)))
		case field.IsNil():
			field.Set(reflect.ValueOf(cause))
		}
	}
}

// withoutCauses is err for its codec: a copy whose fields of errors are empty.
func withoutCauses(err error, fields []causeField, c Codec) any {
	v := reflect.ValueOf(err)
	if len(fields) == 0 || c == JSON && marshalsItself(v.Type()) {
		return err
	}
	pointer := reflect.New(indirect(v.Type()))
	pointer.Elem().Set(reflect.Indirect(v))
	for _, f := range fields {
		pointer.Elem().Field(f.index).SetZero()
	}
	if v.Kind() == reflect.Pointer {
		return pointer.Interface()
	}
	return pointer.Elem().Interface()
}

func marshalsItself(t reflect.Type) bool {
	return t.Implements(jsonMarshaler) || t.Implements(textMarshaler)
}

func checkErrorType(t reflect.Type, c Codec, fields []causeField) error {
	inner := indirect(t)
	if c != JSON || inner.Kind() != reflect.Struct || decodesItself(inner) {
		if checker, ok := c.(Checker); ok && len(fields) == 0 {
			return checker.Check(t)
		}
		return nil
	}
	isCause := map[string]bool{}
	for _, f := range fields {
		isCause[f.name] = true
	}
	exported := inner.NumField() == 0
	for f := range inner.Fields() {
		if f.IsExported() || f.Anonymous {
			exported = true
		}
		if isCause[f.Name] || !f.IsExported() && !f.Anonymous || f.Tag.Get("json") == "-" {
			continue
		}
		if err := checkJSON(f.Type, "."+f.Name, map[reflect.Type]bool{inner: true}); err != nil {
			return err
		}
	}
	if !exported {
		return refused(t, "", "none of its fields is exported, so JSON would keep none; set Encode and Decode")
	}
	return nil
}
