package account

import (
	"context"
	"slices"
	"strings"
	"time"

	"hale/fault"
	"hale/vital"
)

// Employee is a member of staff as an administrator sees them.
type Employee struct {
	UID          vital.UID
	Login        string
	Name         string
	Role         Role
	Elsewhere    bool      // signs in by the identity provider, which says name and role
	SecondFactor bool      // has one that is on
	InvitedUntil time.Time // until when a code for choosing a password is good; zero: there is none
	SeenAt       time.Time // the last look at a session of theirs; zero: never
	DisabledAt   time.Time // zero: they may come in
}

// StaffBook is the record as Staffing needs it. Every method is bound to the actor's organisation; every change writes its audit
// row. Somebody who is not there is fault.NotFound.
type StaffBook interface {
	Employees(ctx context.Context, actor Actor) ([]Employee, error) // by name, those who are kept out last
	// AddEmployee makes an account without a password, and keeps the hash of the code with which one is chosen. Somebody whose
	// work is care joins the usual care team. A login that is taken, anywhere, is fault.Conflict.
	AddEmployee(ctx context.Context, actor Actor, e Employee, codeHash []byte, until time.Time) (Employee, error)
	// Reinvite takes the password away, ends the sessions, and keeps the hash of a new code; fault.Conflict for somebody who is
	// kept out or signs in elsewhere.
	Reinvite(ctx context.Context, actor Actor, staff vital.UID, codeHash []byte, until time.Time) error
	// SetEmployee changes name and role; fault.Conflict for somebody whom the identity provider describes. It returns the names of
	// the care teams whose patients have nobody any more who answers their alerts; whoever manages teams is owed a notice of each.
	SetEmployee(ctx context.Context, actor Actor, staff vital.UID, name string, role Role) (alone []string, err error)
	// KeepOut ends sessions, care teams and codes of somebody, and returns and owes as SetEmployee; or it lets them in again without any,
	// and returns the care teams that have patients and nobody just now.
	KeepOut(ctx context.Context, actor Actor, staff vital.UID, out bool) (alone []string, err error)
}

// Staffing is what administrators do with the accounts of staff.
type Staffing struct {
	Book StaffBook
	Code func() (code string, hash []byte) // a new code for choosing a password
	Now  func() time.Time
}

// List returns everybody who works in the organisation, also those who are kept out.
func (s *Staffing) List(ctx context.Context, actor Actor) ([]Employee, error) {
	if err := Allow(actor, ManageStaff, nil); err != nil {
		return nil, err
	}
	return s.Book.Employees(ctx, actor)
}

// Get returns one of them.
func (s *Staffing) Get(ctx context.Context, actor Actor, staff vital.UID) (Employee, error) {
	list, err := s.List(ctx, actor)
	if err != nil {
		return Employee{}, err
	}
	if i := slices.IndexFunc(list, func(e Employee) bool { return e.UID == staff }); i >= 0 {
		return list[i], nil
	}
	return Employee{}, fault.New(fault.NotFound, "there is no such member of staff")
}

// Add makes an account, and returns it with the code by which its owner chooses a password within InvitationLasts. The code
// exists nowhere else.
func (s *Staffing) Add(ctx context.Context, actor Actor, login, name string, role Role) (made Employee, code string, err error) {
	if err := Allow(actor, ManageStaff, nil); err != nil {
		return Employee{}, "", err
	}
	login, name = strings.TrimSpace(login), strings.TrimSpace(name)
	if err := CheckLogin(login); err != nil {
		return Employee{}, "", err
	}
	if err := checkEmployee(name, role); err != nil {
		return Employee{}, "", err
	}
	code, hash := s.Code()
	made, err = s.Book.AddEmployee(ctx, actor, Employee{Login: login, Name: name, Role: role}, hash, s.Now().UTC().Add(InvitationLasts))
	if err != nil {
		return Employee{}, "", err
	}
	return made, code, nil
}

func checkEmployee(name string, role Role) error {
	if name == "" || !Printable(name, LongestName) {
		return fault.New(fault.Invalid, "name: give 1 to %d printable characters", LongestName)
	}
	if !slices.Contains(StaffRoles(), role) {
		return fault.New(fault.Invalid, "role: %q is no role of staff", role)
	}
	return nil
}

// Reinvite lets somebody choose a password anew: the old one and the open sessions end now.
func (s *Staffing) Reinvite(ctx context.Context, actor Actor, staff vital.UID) (code string, err error) {
	if err := s.other(actor, staff); err != nil {
		return "", err
	}
	code, hash := s.Code()
	if err := s.Book.Reinvite(ctx, actor, staff, hash, s.Now().UTC().Add(InvitationLasts)); err != nil {
		return "", err
	}
	return code, nil
}

// Set changes somebody's name and role. What they may do changes at once, also in open sessions. It returns the names of the care
// teams that have patients, and nobody by this who answers their alerts.
func (s *Staffing) Set(ctx context.Context, actor Actor, staff vital.UID, name string, role Role) (alone []string, err error) {
	if err := s.other(actor, staff); err != nil {
		return nil, err
	}
	name = strings.TrimSpace(name)
	if err := checkEmployee(name, role); err != nil {
		return nil, err
	}
	return s.Book.SetEmployee(ctx, actor, staff, name, role)
}

// KeepOut keeps somebody out from now on, or lets them in again. It returns the care teams that Set does; of
// whom it lets in again, every one that has patients and nobody just now, for neither care teams nor shifts come back with the account.
func (s *Staffing) KeepOut(ctx context.Context, actor Actor, staff vital.UID, out bool) (alone []string, err error) {
	if err := s.other(actor, staff); err != nil {
		return nil, err
	}
	return s.Book.KeepOut(ctx, actor, staff, out)
}

// other refuses what administrators would do to themselves: whoever locked themselves out would need the console.
func (s *Staffing) other(actor Actor, staff vital.UID) error {
	if err := Allow(actor, ManageStaff, nil); err != nil {
		return err
	}
	if actor.UID != "" && actor.UID == staff {
		return fault.New(fault.Conflict, "this is your own account: another administrator changes it, or the operator at the console")
	}
	return nil
}
