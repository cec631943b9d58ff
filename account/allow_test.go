package account_test

import (
	"slices"
	"testing"

	"hale/account"
	"hale/fault"
)

// mayDo is the whole role table, written out a second time as people would say it.
func mayDo() map[account.Role][]account.Action {
	clinical := []account.Action{account.SeePatients, account.SeeReadings, account.SeeAlerts, account.HandleAlert, account.SetLimits}
	return map[account.Role][]account.Action{
		account.Nurse:          clinical,
		account.Physician:      clinical,
		account.Pharmacist:     {account.SeePatients, account.SeeReadings, account.SeeAlerts},
		account.DeviceDesk:     {account.SeePatients, account.AddPatient, account.SeeDevices, account.EnrolDevice, account.AssignDevice},
		account.Manager:        {account.SeeDevices},
		account.Researcher:     {},
		account.PrivacyOfficer: {account.SeePatients},
		account.Administrator:  account.Actions(),
		"hacker":               {},
	}
}

func TestAllowDecidesEveryRoleAndAction(t *testing.T) {
	t.Parallel()
	own, foreign := &account.Patient{Org: 1}, &account.Patient{Org: 2}
	nobodys := &account.Patient{}
	for role, actions := range mayDo() {
		for _, action := range append(account.Actions(), "fly") {
			actor := account.Actor{Org: 1, Staff: 7, Role: role}
			want, wantForeign := fault.Forbidden, fault.Forbidden
			if slices.Contains(actions, action) {
				want, wantForeign = "", fault.NotFound
			}
			for patient, want := range map[*account.Patient]fault.Kind{nil: want, own: want, foreign: wantForeign, nobodys: wantForeign} {
				var got fault.Kind
				if err := account.Allow(actor, action, patient); err != nil {
					got = fault.KindOf(err)
				}
				if got != want {
					t.Errorf("%s, %s, %+v: %q, want %q", role, action, patient, got, want)
				}
			}
		}
	}
}

func TestAllowKnowsWhoIsNobody(t *testing.T) {
	t.Parallel()
	for name, actor := range map[string]account.Actor{
		"the zero actor":                {},
		"a role without organisation":   {Role: account.Administrator, Staff: 1},
		"an organisation without role":  {Org: 1, Staff: 1},
		"a name without either of them": {Name: "Mallory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, action := range account.Actions() {
				for _, patient := range []*account.Patient{nil, {}, {Org: 1}} {
					if err := account.Allow(actor, action, patient); !fault.Is(err, fault.Unauthenticated) {
						t.Errorf("%s: %v", action, err)
					}
				}
			}
		})
	}
}

// TestTheOperatorAtTheConsoleActs: who has an organisation and a role but no staff row is the operator of `hale up`.
func TestTheOperatorAtTheConsoleActs(t *testing.T) {
	t.Parallel()
	if err := account.Allow(account.Actor{Org: 1, Name: "operator", Role: account.Administrator}, account.AddPatient, nil); err != nil {
		t.Error(err)
	}
}
