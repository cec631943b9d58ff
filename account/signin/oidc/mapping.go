package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"hale/account"
	"hale/fault"
)

// Mapping says what the claims of an identity provider mean here. It is read from a file (docs/oidc.md).
type Mapping struct {
	// Name is the claim with the person's name; "name" when it is left out.
	Name Path `json:"name"`
	// Userinfo asks the provider's userinfo endpoint for what the ID token leaves out.
	Userinfo bool `json:"userinfo"`
	// Scopes are asked for besides openid and profile.
	Scopes []string `json:"scopes"`
	// ACR holds the authentication context classes of which the provider must name one; none means any.
	ACR []string `json:"acr"`
	// AMR holds the authentication methods that the provider must name, all of them.
	AMR   []string `json:"amr"`
	Rules []Rule   `json:"rules"`
}

// Rule gives whoever has a value in a claim what else it names. A claim that is a list has each of its elements.
type Rule struct {
	Claim        Path         `json:"claim"`
	Value        string       `json:"value"`
	Organisation string       `json:"organisation"`
	Role         account.Role `json:"role"`
	Teams        []string     `json:"teams"`
}

// Path leads to a claim: its name, and the names within it when it is an object. In the file it is one name or a list of them,
// so that a name may contain dots.
type Path []string

// UnmarshalJSON reads a name or a list of names.
func (p *Path) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*p = Path{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return errors.New("a claim is one name, or a list of names that lead to it")
	}
	*p = list
	return nil
}

// ParseMapping reads a mapping file; fault.Invalid says what to mend.
func ParseMapping(text []byte) (Mapping, error) {
	var m Mapping
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Mapping{}, fault.Wrap(fault.Invalid, err, "the mapping of claims is not what docs/oidc.md describes")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Mapping{}, fault.New(fault.Invalid, "the mapping of claims goes on after its end")
	}
	if len(m.Name) == 0 {
		m.Name = Path{"name"}
	}
	return m, m.check()
}

func (m Mapping) check() error {
	var organisation, role bool
	for i, r := range m.Rules {
		if err := r.check(); err != nil {
			return fault.Wrap(fault.Invalid, err, "rule %d of the mapping of claims", i+1)
		}
		organisation, role = organisation || r.Organisation != "", role || r.Role != ""
	}
	if !organisation || !role {
		return fault.New(fault.Invalid, "the mapping of claims lets nobody in: at least one rule must name an organisation, and one a role")
	}
	return nil
}

func (r Rule) check() error {
	switch {
	case len(r.Claim) == 0 || slices.Contains(r.Claim, ""):
		return errors.New("it names no claim")
	case r.Value == "":
		return errors.New("it names no value")
	case r.Organisation == "" && r.Role == "" && len(r.Teams) == 0:
		return errors.New("it gives nothing: name an organisation, a role or teams")
	case r.Role != "" && !slices.Contains(account.StaffRoles(), r.Role):
		return fmt.Errorf("%q is no role of staff", r.Role)
	case slices.Contains(r.Teams, ""):
		return errors.New("a team has no name")
	}
	return nil
}

// refused is why somebody is not let in, for the log: it holds no name and no value of a claim.
type refused string

// Error says why.
func (r refused) Error() string { return string(r) }

// The reasons.
const (
	reasonUnknown     refused = "no rule gives the claims a role in an organisation"
	reasonContradicts refused = "the claims mean two organisations or two roles"
	reasonWeak        refused = "the person was not authenticated as the mapping asks (acr, amr)"
	reasonNameless    refused = "the claims hold no usable name"
)

const ask = "ask the administrator of your care programme"

// Decide says what the claims mean: who they make of the person. fault.Forbidden is for the person to read.
func (m Mapping) Decide(claims map[string]any) (account.Admission, error) {
	if err := m.strong(claims); err != nil {
		return account.Admission{}, err
	}
	var a account.Admission
	var organisations []string
	var roles []account.Role
	for _, r := range m.Rules {
		for _, team := range r.Teams {
			a.Decided = with(a.Decided, team)
		}
		if !r.holds(claims) {
			continue
		}
		organisations, roles = with(organisations, r.Organisation), with(roles, r.Role)
		for _, team := range r.Teams {
			a.Teams = with(a.Teams, team)
		}
	}
	switch {
	case len(organisations) == 0 || len(roles) == 0:
		return account.Admission{}, refuse(reasonUnknown, "nothing says what your work is here: "+ask+" to give you a role")
	case len(organisations) > 1 || len(roles) > 1:
		return account.Admission{}, refuse(reasonContradicts, "you are given two roles, or two organisations, that exclude each other: "+ask+" which one is yours")
	}
	a.Organisation, a.Role = organisations[0], roles[0]
	a.Name, _ = m.Name.in(claims).(string)
	if err := a.Check(); err != nil {
		return account.Admission{}, refuse(reasonNameless, "your name is not told to Hale: "+ask)
	}
	return a, nil
}

// strong looks at how the person was authenticated.
func (m Mapping) strong(claims map[string]any) error {
	is := func(claim string) func(string) bool {
		return func(want string) bool { return has(claims[claim], want) }
	}
	good := len(m.ACR) == 0 || slices.ContainsFunc(m.ACR, is("acr"))
	for _, method := range m.AMR {
		good = good && is("amr")(method)
	}
	if !good {
		return refuse(reasonWeak, "Hale needs a stronger proof of who you are, such as a second factor: "+ask+" how to set one up")
	}
	return nil
}

func refuse(why refused, words string) error {
	return &fault.Error{Kind: fault.Forbidden, Message: words, Err: why}
}

func (r Rule) holds(claims map[string]any) bool { return has(r.Claim.in(claims), r.Value) }

// in returns what the path leads to; nil when it leads nowhere.
func (p Path) in(claims map[string]any) any {
	var at any = claims
	for _, name := range p {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[name]
	}
	return at
}

// has reports whether a claim is the value, or a list that holds it.
func has(claim any, value string) bool {
	switch claim := claim.(type) {
	case string:
		return claim == value
	case []any:
		return slices.ContainsFunc(claim, func(one any) bool { return one == value })
	}
	return false
}

// with returns the list with something added, unless it is empty or there already.
func with[T ~string](list []T, one T) []T {
	if one == "" || slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// scopes returns what is asked of the provider.
func (m Mapping) scopes() []string {
	list := []string{"openid", "profile"}
	for _, s := range m.Scopes {
		list = with(list, strings.TrimSpace(s))
	}
	return list
}
