package alerts

import "strings"

const asideBy = "put aside in the inbox by "

// AsideNote is the note of an unverified red that stays open although somebody who may not end it has put its value aside.
func AsideNote(by, why string) string { return asideBy + by + ": " + why }

// Aside says of one that is open who has put its value aside in the inbox, and why; empty: nobody.
func (u *Unverified) Aside() string {
	if u.State != Closed && strings.HasPrefix(u.Note, asideBy) {
		return u.Note
	}
	return ""
}
