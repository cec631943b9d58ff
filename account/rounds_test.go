package account_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
)

func TestRoundsGoOnAndSayOnceWhatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		down, full := errors.New("down"), errors.New("full")
		rounds := []error{down, down, full, nil, full, nil}
		began := time.Now()
		var said []bool
		err := account.Rounds(ctx, time.Second, func(context.Context) error {
			err := rounds[0]
			if rounds = rounds[1:]; len(rounds) == 0 {
				stop()
			}
			return err
		}, func(_ error, first bool) { said = append(said, first) })
		if err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("it ended with %v after %s", err, time.Since(began))
		}
		if diff := cmp.Diff([]bool{true, false, true, true}, said); diff != "" {
			t.Error(diff)
		}
	})
}
