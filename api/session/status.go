package session

import (
	"errors"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/fault"
)

// Status returns the HTTP status of an error: the one table from kinds of fault to statuses, for the API's problems and
// the screens' pages alike. Fiber's own errors (no such route, body too large) keep their status.
func Status(err error) int {
	var own *fiber.Error
	if errors.As(err, &own) {
		return own.Code
	}
	if _, wait := RetryAfter(err); wait {
		return http.StatusTooManyRequests
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Gone:
		return http.StatusGone
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// RetryAfter returns how long the caller has to wait, when that is what the error says (account/guess.TooManyError).
func RetryAfter(err error) (time.Duration, bool) {
	var wait interface {
		error
		RetryAfter() time.Duration
	}
	if errors.As(err, &wait) {
		return wait.RetryAfter(), true
	}
	return 0, false
}

// CodeNeeded reports whether login and password were right and the code of a second factor is wanted
// (account/signin.CodeNeededError). The ticket stands for login and password when the code is sent.
func CodeNeeded(err error) (ticket string, needed bool) {
	var want interface {
		error
		Ticket() string
	}
	if errors.As(err, &want) {
		return want.Ticket(), true
	}
	return "", false
}
