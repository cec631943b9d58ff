package web

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/vital"
)

// staffView is the list of everybody who signs in to work.
type staffView struct {
	Error string
	Login string
	Name  string
	Role  string
	Roles []choice
	List  []employeeLine
	Code  codeFor
}

// employeeView is one of them.
type employeeView struct {
	Error string
	Alone string // care teams whose patients have nobody since what was just done
	Back  bool   // they were just let in again
	Empty string // care teams whose patients have nobody just then
	One   employeeLine
	Roles []choice
	Code  codeFor
}

// codeFor is a code that was just made, shown once. Address is that of this Hale; empty when it is not known.
type codeFor struct{ Name, Login, Code, Address string }

type employeeLine struct {
	ID           vital.UID
	Login        string
	Name         string
	Role         string // as it is stored
	Work         string // in words
	Elsewhere    bool
	SecondFactor bool
	Invited      moment
	Seen         moment
	Out          moment
	Self         bool
}

func (w *Web) mountStaff(get, post func(path string, h fiber.Handler)) {
	if w.Staffing == nil {
		return
	}
	get("/staff", func(c *fiber.Ctx) error { return w.staffPage(c, staffView{}) })
	post("/staff", w.addEmployee)
	get("/staff/:id", func(c *fiber.Ctx) error { return w.employeePage(c, employeeView{}) })
	post("/staff/:id", w.employeeAct(func(c *fiber.Ctx, actor account.Actor, id vital.UID) ([]string, error) {
		return w.Staffing.Set(c.UserContext(), actor, id, c.FormValue("name"), account.Role(c.FormValue("role")))
	}))
	post("/staff/:id/code", w.renewEmployee)
	post("/staff/:id/disable", w.employeeAct(func(c *fiber.Ctx, actor account.Actor, id vital.UID) ([]string, error) {
		return w.Staffing.KeepOut(c.UserContext(), actor, id, true)
	}))
	post("/staff/:id/enable", w.letBack)
}

func roleChoices() []choice {
	var list []choice
	for _, r := range account.StaffRoles() {
		list = append(list, choice{Value: string(r), Text: roleWord(r)})
	}
	return list
}

func (w *Web) employee(c *fiber.Ctx, e *account.Employee) employeeLine {
	k := clock{now: w.Now(), zone: w.Zone}
	return employeeLine{
		ID: e.UID, Login: e.Login, Name: e.Name, Role: string(e.Role), Work: roleWord(e.Role), Elsewhere: e.Elsewhere, SecondFactor: e.SecondFactor,
		Invited: k.at(e.InvitedUntil), Seen: k.at(e.SeenAt), Out: k.at(e.DisabledAt), Self: e.UID == session.Actor(c.UserContext()).UID,
	}
}

func (w *Web) staffPage(c *fiber.Ctx, view staffView) error {
	list, err := w.Staffing.List(c.UserContext(), session.Actor(c.UserContext()))
	if err != nil {
		return err
	}
	for i := range list {
		view.List = append(view.List, w.employee(c, &list[i]))
	}
	view.Roles = roleChoices()
	return w.page(c, "staff", "Staff", "teams", view)
}

// addEmployee answers POST /staff: the list again, with the code of the new one.
func (w *Web) addEmployee(c *fiber.Ctx) error {
	view := staffView{Login: c.FormValue("login"), Name: c.FormValue("name"), Role: c.FormValue("role")}
	made, code, err := w.Staffing.Add(c.UserContext(), session.Actor(c.UserContext()), view.Login, view.Name, account.Role(view.Role))
	if amiss(err) {
		view.Error = sentence(fault.MessageOf(err))
		c.Status(session.Status(err))
		return w.staffPage(c, view)
	}
	if err != nil {
		return err
	}
	return w.staffPage(c, staffView{Code: codeFor{Name: made.Name, Login: made.Login, Code: code, Address: here(c)}})
}

func (w *Web) employeePage(c *fiber.Ctx, view employeeView) error {
	e, err := w.Staffing.Get(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	view.One, view.Roles = w.employee(c, &e), roleChoices()
	if view.Code.Code != "" {
		view.Code.Name, view.Code.Login = e.Name, e.Login
	}
	return w.page(c, "employee", e.Name, "teams", view)
}

// employeeAct answers a form of somebody's page: it comes back to the page, with what was wrong.
func (w *Web) employeeAct(act func(c *fiber.Ctx, actor account.Actor, id vital.UID) (alone []string, err error)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		id := vital.UID(c.Params("id"))
		alone, err := act(c, session.Actor(c.UserContext()), id)
		if amiss(err) {
			return w.employeeAgain(c, err)
		}
		if err != nil {
			return err
		}
		if len(alone) > 0 {
			return w.employeePage(c, employeeView{Alone: strings.Join(alone, ", ")})
		}
		return c.Redirect("/staff/"+string(id), http.StatusSeeOther)
	}
}

// letBack answers POST /staff/{id}/enable: the page again, with what did not come back with the account.
func (w *Web) letBack(c *fiber.Ctx) error {
	alone, err := w.Staffing.KeepOut(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")), false)
	if amiss(err) {
		return w.employeeAgain(c, err)
	}
	if err != nil {
		return err
	}
	return w.employeePage(c, employeeView{Back: true, Empty: strings.Join(alone, ", ")})
}

func (w *Web) employeeAgain(c *fiber.Ctx, err error) error {
	c.Status(session.Status(err))
	return w.employeePage(c, employeeView{Error: sentence(fault.MessageOf(err))})
}

// here is the address of this Hale for a sentence; empty when it is not known.
func here(c *fiber.Ctx) string {
	address, err := session.Address(c.UserContext())
	if err != nil {
		return ""
	}
	return address
}

// renewEmployee answers POST /staff/{id}/code.
func (w *Web) renewEmployee(c *fiber.Ctx) error {
	code, err := w.Staffing.Reinvite(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	if amiss(err) {
		return w.employeeAgain(c, err)
	}
	if err != nil {
		return err
	}
	return w.employeePage(c, employeeView{Code: codeFor{Code: code, Address: here(c)}})
}
