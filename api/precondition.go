package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"hale/fault"
)

// precondition is an error of a conditional request, which has statuses of its own (RFC 6585, RFC 9110).
type precondition struct {
	error
	status int
}

// Unwrap returns the cause, which holds the words for the caller.
func (p *precondition) Unwrap() error { return p.error }

// statusOf returns the status of a failed condition.
func statusOf(err error) (int, bool) {
	var p *precondition
	if errors.As(err, &p) {
		return p.status, true
	}
	return 0, false
}

// stale gives a conflict the status of a condition that no longer holds: somebody was faster, and the message says so.
func stale(err error) error {
	if fault.Is(err, fault.Conflict) {
		return &precondition{error: err, status: http.StatusPreconditionFailed}
	}
	return err
}

// ifMatch reads the version that the caller has seen from If-Match: "3". It must be there: whoever changes what they
// have not seen may undo another's act. Where nothing may exist yet (orNone), "*" stands for version 0.
func ifMatch(header string, orNone bool) (int, error) {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" && !orNone {
		missing := fault.New(fault.Invalid, `name the version you have seen: If-Match: "<version>"`)
		return 0, &precondition{error: missing, status: http.StatusPreconditionRequired}
	}
	if header == "*" {
		return 0, nil
	}
	inner, quoted := strings.CutPrefix(header, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	version, err := strconv.Atoi(inner)
	if !quoted || !closed || err != nil || version < 0 || strconv.Itoa(version) != inner {
		bad := fault.New(fault.Invalid, `If-Match must be one version in quotes, for example "3"`)
		return 0, &precondition{error: bad, status: http.StatusBadRequest}
	}
	return version, nil
}

// etag is the form of a version in the ETag header.
func etag(version int) string { return `"` + strconv.Itoa(version) + `"` }
