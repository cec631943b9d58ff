package account

// Proof is what somebody shows in order to sign in: login and password, and with a second factor its code. A Ticket stands
// for a login and password that were right a moment ago, so that a browser can ask for the code on a second page.
type Proof struct {
	Login, Password string
	Code            string // six digits of the authenticator, or a recovery code; empty at first
	Ticket          string // instead of login and password
	Label           string // of the browser or app, for the list of sessions
}

// SecondFactor is how a person's second factor stands.
type SecondFactor struct {
	Possible bool // the installation has the key that such secrets are kept under
	On       bool
	// Elsewhere: the person signs in by an identity provider, whose matter the second factor is.
	Elsewhere bool
	Codes     int // recovery codes that are left
}
