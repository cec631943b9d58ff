package account_test

import (
	"testing"

	"hale/account"
	"hale/fault"
)

func TestAListIsAsLongAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ limit, want int }{{0, 100}, {1, 1}, {500, 500}} {
		if got, err := account.ListLength(c.limit, 100, 500); err != nil || got != c.want {
			t.Errorf("%d: %d, %v; want %d", c.limit, got, err, c.want)
		}
	}
	for _, limit := range []int{-1, 501} {
		if _, err := account.ListLength(limit, 100, 500); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d: %v", limit, err)
		}
	}
}
