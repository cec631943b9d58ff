package account

import "time"

// InvitationLasts is how long somebody new may take to choose their first password.
const InvitationLasts = 7 * 24 * time.Hour

// Newcomer is who was sent an invitation: the actor that they will be, and what a good password does not hold.
type Newcomer struct {
	Actor
	Login        string
	Organisation string
}
