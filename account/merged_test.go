package account_test

import (
	"testing"

	"hale/account"
	"hale/fault"
)

// TestNothingBeginsWithAMergedRecord checks that a record which was merged into another is given nothing new, while its open
// alerts can be handled.
func TestNothingBeginsWithAMergedRecord(t *testing.T) {
	t.Parallel()
	actor := account.Actor{Org: 1, Staff: 2, Role: account.Administrator}
	merged := &account.Patient{Org: 1, State: account.Merged, Relation: account.Relation{Team: true}}
	for action, role := range map[account.Action]account.Role{
		account.AssignDevice: account.Administrator, account.SetLimits: account.Administrator, account.SetSchedule: account.Pharmacist, account.InvitePatient: account.Nurse,
	} {
		if err := account.Allow(account.Actor{Org: 1, Staff: 2, Role: role}, action, merged); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v, want a conflict", action, err)
		}
	}
	for _, action := range []account.Action{account.SeePatients, account.SeeReadings, account.SeeAlerts, account.HandleAlert} {
		if err := account.Allow(actor, action, merged); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
}
