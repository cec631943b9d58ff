package account_test

import (
	"slices"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
)

// mayDo is the whole role table, written out a second time as people would say it.
func mayDo() map[account.Role][]account.Action {
	care := []account.Action{
		account.SeePatients, account.SeeReadings, account.SeeAlerts, account.SeeTeams, account.BreakGlass, account.InvitePatient,
		account.SeeConsents, account.RecordConsent, account.ManageCaregiver, account.SeeSheet, account.Protect,
	}
	bedside := append(slices.Clone(care), account.HandleAlert, account.SetLimits, account.SetSchedule, account.EndCare, account.DecideCorrection, account.Refile)
	own := []account.Action{
		account.SeePatients, account.SeeReadings, account.SeeAlerts, account.SeeConsents, account.RecordConsent, account.ManageCaregiver,
		account.SeeLooks, account.ExportRecord, account.ShareRecord, account.SeeSheet, account.AskCorrection, account.AskErasure,
	}
	return map[account.Role][]account.Action{
		account.Nurse:      bedside,
		account.Physician:  bedside,
		account.Pharmacist: append(slices.Clone(care), account.SetSchedule),
		account.DeviceDesk: {
			account.SeePatients, account.AddPatient, account.SeeDevices, account.EnrolDevice, account.AssignDevice, account.SeeTeams,
			account.ImportPeople, account.MergePatients, account.Refile,
		},
		account.Manager:    {account.SeePatients, account.SeeDevices, account.SeeTeams, account.ManageTeams, account.ManageWebhooks, account.ImportPeople},
		account.Researcher: {},
		account.PrivacyOfficer: {
			account.SeePatients, account.SeeTeams, account.ReviewAccess, account.SeeConsents, account.Protect, account.WriteConsent, account.SeeLooks,
			account.AskErasure, account.DecideErasure,
		},
		account.Administrator: slices.DeleteFunc(account.Actions(), func(a account.Action) bool {
			return slices.Contains([]account.Action{
				account.ReviewAccess, account.SeeLooks, account.ShareRecord, account.AskCorrection, account.AskErasure, account.DecideErasure,
				account.InvitePatient, account.CheckDevice,
			}, a)
		}),
		account.SelfRole:      append(slices.Clone(own), account.Protect),
		account.CaregiverRole: own,
		account.SystemRole: {
			account.SeePatients, account.AddPatient, account.SeeReadings, account.SeeAlerts, account.SeeDevices, account.EnrolDevice,
			account.AssignDevice, account.CheckDevice, account.ImportPeople,
		},
		"hacker": {},
	}
}

// someone is an actor of the role, who has every scope that the role can have.
func someone(role account.Role) account.Actor {
	a := account.Actor{Org: 1, Role: role}
	switch role {
	case account.SelfRole:
		a.Self = 5
	case account.CaregiverRole:
		a.Caregiver = 7
	case account.SystemRole:
		a.Key, a.Scopes = 7, account.ScopesOf(account.Actions()...)
	case account.Nurse, account.Pharmacist, account.Physician, account.DeviceDesk, account.Manager, account.Researcher, account.PrivacyOfficer, account.Administrator:
		a.Staff = 7
	}
	return a
}

func kindOf(err error) fault.Kind {
	if err == nil {
		return ""
	}
	return fault.KindOf(err)
}

func TestAllowDecidesEveryRoleAndAction(t *testing.T) {
	t.Parallel()
	if len(mayDo()) != len(account.Roles())+1 {
		t.Errorf("%d roles, of which this table has %d", len(account.Roles()), len(mayDo())-1)
	}
	all := account.ScopesOf(account.Actions()...)
	own, foreign := &account.Patient{ID: 5, Org: 1, Relation: account.Relation{Team: true, Shared: all}}, &account.Patient{ID: 5, Org: 2, Relation: account.Relation{Team: true, Shared: all}}
	nobodys := &account.Patient{}
	for role, actions := range mayDo() {
		for _, action := range append(account.Actions(), "fly") {
			want, wantForeign := fault.Forbidden, fault.Forbidden
			if slices.Contains(actions, action) {
				want, wantForeign = "", fault.NotFound
			}
			for patient, want := range map[*account.Patient]fault.Kind{nil: want, own: want, foreign: wantForeign, nobodys: wantForeign} {
				if got := kindOf(account.Allow(someone(role), action, patient)); got != want {
					t.Errorf("%s, %s, %+v: %q, want %q", role, action, patient, got, want)
				}
			}
		}
	}
}

// TestWhatIsHealthNeedsARelation: a stranger of the same organisation is to most as if they did not exist.
func TestWhatIsHealthNeedsARelation(t *testing.T) {
	t.Parallel()
	health := []account.Action{
		account.SeeReadings, account.SeeAlerts, account.HandleAlert, account.SetLimits, account.SetSchedule, account.SeeSheet, account.ExportRecord, account.DecideCorrection,
		account.Protect,
	}
	whole := []account.Role{account.DeviceDesk, account.Manager, account.PrivacyOfficer, account.SystemRole}
	stranger := &account.Patient{ID: 6, Org: 1}
	for role, actions := range mayDo() {
		for _, action := range actions {
			want := fault.NotFound
			if slices.Contains(whole, role) || role == account.Administrator && !slices.Contains(health, action) {
				want = ""
			}
			if got := kindOf(account.Allow(someone(role), action, stranger)); got != want {
				t.Errorf("%s, %s a stranger: %q, want %q", role, action, got, want)
			}
		}
	}
}

func TestTheWaysToAPatient(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 5, 1, 13, 0, 0, 0, time.UTC)
	shares := account.Relation{Shared: account.ScopesOf(account.SeePatients, account.SeeReadings)}
	for name, c := range map[string]struct {
		role     account.Role
		action   account.Action
		relation account.Relation
		want     fault.Kind
	}{
		"a nurse of the care team":                        {account.Nurse, account.SeeReadings, account.Relation{Team: true}, ""},
		"a nurse of another":                              {account.Nurse, account.SeePatients, account.Relation{}, fault.NotFound},
		"a nurse who has broken the glass":                {account.Nurse, account.SeeReadings, account.Relation{Glass: until}, ""},
		"an administrator outside the team":               {account.Administrator, account.SeeAlerts, account.Relation{}, fault.NotFound},
		"a daughter who is shown readings":                {account.CaregiverRole, account.SeeReadings, shares, ""},
		"a daughter who is not shown alerts":              {account.CaregiverRole, account.SeeAlerts, shares, fault.NotFound},
		"a daughter whom nothing is shared with any more": {account.CaregiverRole, account.SeePatients, account.Relation{}, fault.NotFound},
		"a nurse is no caregiver":                         {account.Nurse, account.SeeReadings, shares, fault.NotFound},
	} {
		if got := kindOf(account.Allow(someone(c.role), c.action, &account.Patient{ID: 6, Org: 1, Relation: c.relation})); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestBrokenGlassLooksAndHelpsAndDecidesNothingThatLasts: whoever is there for an hour neither lets anybody in nor settles who
// decides. They see the patient, so that they are told why, and not that there is none.
func TestBrokenGlassLooksAndHelpsAndDecidesNothingThatLasts(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 5, 1, 13, 0, 0, 0, time.UTC)
	glass := &account.Patient{ID: 6, Org: 1, Relation: account.Relation{Glass: until}}
	both := &account.Patient{ID: 6, Org: 1, Relation: account.Relation{Glass: until, Team: true}}
	emergency := []account.Action{
		account.SeePatients, account.SeeReadings, account.SeeAlerts, account.SeeSheet, account.SeeConsents, account.SeeTeams, account.BreakGlass,
		account.HandleAlert,
	}
	for _, role := range []account.Role{account.Nurse, account.Physician, account.Pharmacist} {
		for _, action := range mayDo()[role] {
			want := fault.Forbidden
			if slices.Contains(emergency, action) {
				want = ""
			}
			if got := kindOf(account.Allow(someone(role), action, glass)); got != want {
				t.Errorf("%s, %s under broken glass: %q, want %q", role, action, got, want)
			}
			if got := kindOf(account.Allow(someone(role), action, both)); got != "" {
				t.Errorf("%s of the care team, %s: %q", role, action, got)
			}
		}
	}
	for action, want := range map[account.Action]fault.Kind{
		account.SeeReadings: "", account.ExportRecord: fault.Forbidden, account.DecideCorrection: fault.Forbidden, account.Protect: fault.Forbidden,
		account.AddPatient: "", account.RecordConsent: "", // is for the whole organisation anyhow
	} {
		if got := kindOf(account.Allow(someone(account.Administrator), action, glass)); got != want {
			t.Errorf("an administrator, %s under broken glass: %q, want %q", action, got, want)
		}
	}
}

func TestAKeyDoesWhatItsScopesSay(t *testing.T) {
	t.Parallel()
	key := account.Actor{Org: 1, Role: account.SystemRole, Key: 3, Scopes: account.ScopesOf(account.SeeReadings, account.HandleAlert)}
	for _, action := range account.Actions() {
		want := fault.Forbidden
		if action == account.SeeReadings {
			want = ""
		}
		if got := kindOf(account.Allow(key, action, &account.Patient{Org: 1})); got != want {
			t.Errorf("%s: %q, want %q", action, got, want)
		}
	}
}

func TestALockedRecordIsReadAndNotAddedTo(t *testing.T) {
	t.Parallel()
	locked := &account.Patient{Org: 1, State: account.Locked, Relation: account.Relation{Team: true}}
	for action, want := range map[account.Action]fault.Kind{
		account.SeeReadings: "", account.SeeAlerts: "", account.SeePatients: "", account.RecordConsent: "", account.DecideCorrection: "",
		account.HandleAlert: fault.Conflict, account.SetLimits: fault.Conflict, account.SetSchedule: fault.Conflict, account.InvitePatient: fault.Conflict,
	} {
		if got := kindOf(account.Allow(someone(account.Nurse), action, locked)); got != want {
			t.Errorf("%s: %q, want %q", action, got, want)
		}
	}
	if got := kindOf(account.Allow(someone(account.DeviceDesk), account.AssignDevice, locked)); got != fault.Conflict {
		t.Errorf("a device for a locked record: %q", got)
	}
}

func TestScopesAreASet(t *testing.T) {
	t.Parallel()
	s := account.ScopesOf(account.SeeSheet, "fly", account.SeeReadings, account.SeeSheet)
	if s != "see readings,see the emergency sheet" {
		t.Errorf("%q", s)
	}
	if !slices.Equal(s.Actions(), []account.Action{account.SeeReadings, account.SeeSheet}) || s.Has("see") || s.Has("") || account.Scopes("").Has("") {
		t.Errorf("%q holds %v", s, s.Actions())
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
