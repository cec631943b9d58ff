package account

import "time"

// Farewell is what is left to tell a browser that was signed in as somebody who was erased: it names nobody.
type Farewell struct {
	Number int       // of the request for erasure
	Asked  Role      // SelfRole, CaregiverRole for a guardian, or empty: on paper, or nobody knows any more
	At     time.Time // when the erasure began; zero: the browser was signed in as nobody who was erased
}
