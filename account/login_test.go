package account_test

import (
	"strings"
	"testing"

	"hale/account"
	"hale/fault"
)

func TestWhatALoginMayBe(t *testing.T) {
	t.Parallel()
	for login, want := range map[string]bool{
		"nurse": true, "Ana Novak": true, "ana@clinic.example.org": true, "oidc:01920000-0000-7000-8000-000000000001": true,
		strings.Repeat("č", 200): true, strings.Repeat("č", 201): false, strings.Repeat("a", 201): false,
		"": false, " ana": false, "ana ": false, "a\tna": false, "a\x00na": false, "a\xffna": false, "ana\n": false,
	} {
		if err := account.CheckLogin(login); (err == nil) != want || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", login, err)
		}
	}
}
