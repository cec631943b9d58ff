package session

import (
	"context"
	"net/netip"
)

// From returns the address that a request came from; the zero Addr when it is not known.
func From(ctx context.Context) netip.Addr { return arrived(ctx).from }

// Address returns how the client reached us, without a path: "https://hale.example.org". It is for links that a person takes
// along.
func Address(ctx context.Context) string {
	came := arrived(ctx)
	if came.secure {
		return "https://" + came.host
	}
	return "http://" + came.host
}
