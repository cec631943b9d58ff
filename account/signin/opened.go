package signin

import (
	"time"

	"hale/account"
)

// Opened returns a new session of the actor, with its token, which exists nowhere else, and the hash under which it is to be
// stored. It ends at the given time, and after LongestSession in any case; the zero time asks for no less.
func Opened(actor account.Actor, label string, now, until time.Time) (token string, hash []byte, s account.Session) {
	now = now.UTC()
	longest := now.Add(LongestSession)
	if until.IsZero() || until.After(longest) {
		until = longest
	}
	token, hash, s = fresh(now, until)
	s.Actor, s.Label = actor, labelOf(label)
	s.Actor.Session = s.UID
	return token, hash, s
}

// fresh returns a new session, still of nobody.
func fresh(now, until time.Time) (token string, hash []byte, s account.Session) {
	now = now.UTC()
	token = random(tokenBytes)
	return token, hashOf(token), account.Session{UID: newUID(now), CSRF: random(tokenBytes), CreatedAt: now, SeenAt: now, ExpiresAt: until.UTC()}
}
