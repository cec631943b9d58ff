package account

import (
	"strings"

	"hale/fault"
)

// longestLogin is the longest name that somebody signs in with, in characters.
const longestLogin = 200

// CheckLogin refuses (fault.Invalid) what nobody may be called who signs in. It is the one rule for whoever makes an account
// and for signing in, so that nobody is made who can never sign in.
func CheckLogin(login string) error {
	if login == "" || strings.TrimSpace(login) != login || !Printable(login, longestLogin) {
		return fault.New(fault.Invalid, "login: give 1 to %d printable characters, without a space at either end", longestLogin)
	}
	return nil
}
