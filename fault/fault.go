// Package fault names the kinds of error that cross a package border, so that the HTTP status, the MQTT
// acknowledgement and the decision to retry are each written once, at the edge, from the kind alone.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of thing went wrong, in words that an edge can turn into a status.
type Kind string

// The kinds. An error without a kind is Internal.
const (
	Invalid         Kind = "invalid"         // the input is wrong; the message says what to mend
	NotFound        Kind = "not found"       // there is no such thing, or the actor may not know of it
	Conflict        Kind = "conflict"        // somebody else was first; the message says who or what
	Forbidden       Kind = "forbidden"       // the actor may not do this at all
	Unauthenticated Kind = "unauthenticated" // nobody, or nobody known, is signed in
	Gone            Kind = "gone"            // it was there and is not any more
	Unavailable     Kind = "unavailable"     // a part we need is away; the same call may succeed later
	Internal        Kind = "internal"        // our own mistake
)

// Error is an error with a kind. Message is for the person or system that caused it; Err is the cause, for the log.
type Error struct {
	Kind    Kind
	Message string
	Err     error
}

// Error returns the message, followed by the cause where there is one.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Message
	case e.Message == "":
		return e.Err.Error()
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the given kind; the format works as in fmt.Sprintf.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives err a kind and says what was attempted; it returns nil when err is nil.
func Wrap(kind Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of the outermost Error in err's chain, or Internal when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of the given kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// MessageOf returns the text that may be shown to the person or system that caused err: the message of the
// outermost Error, or a neutral sentence for anything else, so that no inner detail leaves the house.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Message != "" && e.Kind != Internal {
		return e.Message
	}
	return "something went wrong on our side; it has been logged"
}
