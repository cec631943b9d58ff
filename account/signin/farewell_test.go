package signin_test

import (
	"context"
	"testing"
	"time"

	"hale/account"
)

// Farewell says that whoever is asked for was erased.
func (b *book) Farewell(context.Context, []byte) (account.Farewell, error) {
	return account.Farewell{Number: 3, Asked: account.SelfRole, At: time.Unix(1_700_000_000, 0)}, nil
}

func TestOnlyATokenIsAskedForWhatBecameOfItsRecord(t *testing.T) {
	t.Parallel()
	s, _, _ := service(t)
	const token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for shown, want := range map[string]int{token: 3, token + ".device": 3, "": 0, "hale_key_" + token: 0, "guess": 0} {
		if bye, err := s.Farewell(t.Context(), shown); err != nil || bye.Number != want {
			t.Errorf("%q is told of request %d, %v", shown, bye.Number, err)
		}
	}
}
