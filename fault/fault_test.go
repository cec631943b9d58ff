package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"hale/fault"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection refused")
	cases := map[string]struct {
		err  error
		want fault.Kind
	}{
		"a plain error is internal":                 {cause, fault.Internal},
		"a fault has its own kind":                  {fault.New(fault.Invalid, "no unit"), fault.Invalid},
		"a wrapped fault keeps its kind":            {fmt.Errorf("store reading: %w", fault.New(fault.Conflict, "other value")), fault.Conflict},
		"the outermost kind is the one that counts": {fault.Wrap(fault.Unavailable, fault.New(fault.NotFound, "x"), "load"), fault.Unavailable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := fault.KindOf(c.err); got != c.want {
				t.Errorf("KindOf = %q, want %q", got, c.want)
			}
		})
	}
	if fault.Wrap(fault.Internal, nil, "nothing") != nil {
		t.Error("Wrap(nil) is not nil")
	}
}

func TestMessageOfHidesTheCause(t *testing.T) {
	t.Parallel()
	secret := errors.New("password=swordfish")
	if got := fault.MessageOf(fault.Wrap(fault.Unavailable, secret, "the record is away")); got != "the record is away" {
		t.Errorf("MessageOf = %q", got)
	}
	if got := fault.MessageOf(secret); got == secret.Error() {
		t.Error("MessageOf shows an inner error")
	}
}
