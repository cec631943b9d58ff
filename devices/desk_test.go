package devices_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// book is the record as the desk sees it: it keeps what it was asked to do.
type book struct {
	patients map[vital.UID]account.Patient
	enrolled []devices.Enrolment
	bound    []devices.Binding
	revoked  []string
	listed   []int
	answer   error
}

func (b *book) Patient(_ context.Context, _ account.Actor, uid vital.UID) (account.Patient, error) {
	p, ok := b.patients[uid]
	if !ok {
		return p, fault.New(fault.NotFound, "there is no patient %s", uid)
	}
	return p, nil
}

func (b *book) Devices(_ context.Context, actor account.Actor, limit int) ([]devices.Device, error) {
	b.listed = append(b.listed, limit)
	return []devices.Device{{ID: 1, Org: actor.Org, UID: "cuff-7", SecretHash: sha256.Sum256([]byte("secret"))}}, b.answer
}

func (b *book) Enrol(_ context.Context, actor account.Actor, e devices.Enrolment) (devices.Device, error) {
	b.enrolled = append(b.enrolled, e)
	return devices.Device{ID: 1, Org: actor.Org, UID: e.UID, Model: e.Model, SecretHash: e.SecretHash}, b.answer
}

func (b *book) Assign(_ context.Context, _ account.Actor, binding devices.Binding) (devices.Assignment, error) {
	b.bound = append(b.bound, binding)
	return devices.Assignment{ID: 5, Patient: 11, From: binding.From, To: binding.To}, b.answer
}

func (b *book) Revoke(_ context.Context, _ account.Actor, uid string) error {
	b.revoked = append(b.revoked, uid)
	return b.answer
}

func (b *book) Intake(_ context.Context, _ account.Actor, uid string) (devices.Intake, error) {
	b.listed = append(b.listed, len(uid))
	return devices.Intake{Stored: 3, Parked: 2, Quarantined: map[vital.Reason]int{vital.ReasonUnit: 1, vital.ReasonClock: 4}}, b.answer
}

// changes is how often the record was asked to change something.
func (b *book) changes() int { return len(b.enrolled) + len(b.bound) + len(b.revoked) }

func open(answer error) (desk *devices.Desk, b *book, told *int) {
	b = &book{answer: answer, patients: map[vital.UID]account.Patient{
		"anna": {ID: 11, UID: "anna", Org: 3}, "elsewhere": {ID: 12, UID: "elsewhere", Org: 4},
	}}
	told = new(int)
	now := func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }
	return &devices.Desk{Kit: b, Patients: b, Now: now, Changed: func(context.Context) { *told++ }}, b, told
}

func worker(role account.Role) account.Actor {
	return account.Actor{Org: 3, Staff: 8, Name: "Mira", Role: role}
}

func TestEnrolMakesASecretThatOnlyItsOwnerHas(t *testing.T) {
	t.Parallel()
	desk, b, told := open(nil)
	given := devices.Enrolment{UID: " cuff-7 ", Model: "BP 2", Sensors: []string{"scale-1", "oximeter.2"}, SecretHash: [32]byte{1}}
	one, err := desk.Enrol(t.Context(), worker(account.DeviceDesk), given)
	if err != nil {
		t.Fatal(err)
	}
	other, err := desk.Enrol(t.Context(), worker(account.DeviceDesk), devices.Enrolment{Model: "BP 2"})
	if err != nil {
		t.Fatal(err)
	}
	if one.Device.UID != "cuff-7" || !regexp.MustCompile(devices.UIDPattern).MatchString(other.Device.UID) || len(other.Device.UID) < 20 {
		t.Errorf("the devices are named %q and %q", one.Device.UID, other.Device.UID)
	}
	for i, e := range []devices.Enrolled{one, other} {
		bits, err := base64.RawURLEncoding.DecodeString(e.Secret)
		if err != nil || len(bits) != 32 {
			t.Errorf("secret %d is not 32 bytes of base64url: %v", i, err)
		}
		if !e.Device.Secret([]byte(e.Secret), time.Time{}) || e.Device.Secret([]byte(e.Secret+"x"), time.Time{}) || b.enrolled[i].SecretHash != sha256.Sum256([]byte(e.Secret)) {
			t.Errorf("what is stored of secret %d is not its hash", i)
		}
	}
	if one.Secret == other.Secret || one.Device.Secret([]byte(other.Secret), time.Time{}) {
		t.Error("two devices share a secret")
	}
	if diff := cmp.Diff(given.Sensors, b.enrolled[0].Sensors); diff != "" {
		t.Error(diff)
	}
	if *told != 2 {
		t.Errorf("told of %d changes", *told)
	}
}

func TestEnrolSaysWhatToMend(t *testing.T) {
	t.Parallel()
	good := devices.Enrolment{UID: "cuff-7", Model: "BP 2"}
	cases := map[string]struct {
		change func(*devices.Enrolment)
		says   string
	}{
		"a name with a level of a topic":  {func(e *devices.Enrolment) { e.UID = "a/b" }, "uid:"},
		"a name with a wildcard":          {func(e *devices.Enrolment) { e.UID = "cuff+" }, "uid:"},
		"a name that begins with a dot":   {func(e *devices.Enrolment) { e.UID = ".." }, "uid:"},
		"a name with a newline in it":     {func(e *devices.Enrolment) { e.UID = "a\nb" }, "uid:"},
		"a name that is too long":         {func(e *devices.Enrolment) { e.UID = strings.Repeat("a", 65) }, "uid:"},
		"no model":                        {func(e *devices.Enrolment) { e.Model = "  " }, "model:"},
		"a model of many words":           {func(e *devices.Enrolment) { e.Model = strings.Repeat("m", 201) }, "model:"},
		"a model that cannot be printed":  {func(e *devices.Enrolment) { e.Model = "BP\x00" }, "model:"},
		"a sensor without a name":         {func(e *devices.Enrolment) { e.Sensors = []string{""} }, "sensors:"},
		"a sensor of the device's name":   {func(e *devices.Enrolment) { e.Sensors = []string{"cuff-7"} }, "is the device itself"},
		"a sensor that stands twice":      {func(e *devices.Enrolment) { e.Sensors = []string{"a", "b", "a"} }, "stands twice"},
		"more sensors than a house holds": {func(e *devices.Enrolment) { e.Sensors = make([]string, 257) }, "at most 256"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desk, b, told := open(nil)
			e := good
			c.change(&e)
			got, err := desk.Enrol(t.Context(), worker(account.DeviceDesk), e)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.MessageOf(err), c.says) || got.Secret != "" {
				t.Errorf("got %+v, %v", got, err)
			}
			if b.changes() != 0 || *told != 0 {
				t.Error("something was changed")
			}
		})
	}
}

func TestAssignGivesASensorToAPatient(t *testing.T) {
	t.Parallel()
	desk, b, told := open(nil)
	from := time.Date(2026, 11, 21, 8, 25, 0, 123456789, time.FixedZone("", 3600))
	made, err := desk.Assign(t.Context(), worker(account.DeviceDesk), devices.Binding{Sensor: "cuff-7", Patient: "anna", From: from, To: from.Add(time.Hour)})
	if err != nil || made.ID != 5 || *told != 1 {
		t.Fatalf("got %+v, %v, told of %d changes", made, err, *told)
	}
	start := time.Date(2026, 11, 21, 7, 25, 0, 123456000, time.UTC)
	want := []devices.Binding{{Sensor: "cuff-7", Patient: "anna", From: start, To: start.Add(time.Hour)}, {Sensor: "cuff-8", Patient: "anna", From: start.AddDate(1, 0, 0)},
		{Sensor: "cuff-9", Patient: "anna", From: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}}
	if _, err := desk.Assign(t.Context(), worker(account.DeviceDesk), devices.Binding{Sensor: "cuff-8", Patient: "anna", From: from.AddDate(1, 0, 0)}); err != nil {
		t.Errorf("in a year: %v", err)
	}
	if _, err := desk.Assign(t.Context(), worker(account.DeviceDesk), devices.Binding{Sensor: "cuff-9", Patient: "anna"}); err != nil {
		t.Errorf("from now on: %v", err)
	}
	if diff := cmp.Diff(want, b.bound); diff != "" {
		t.Error(diff)
	}
}

func TestAssignSaysWhatToMend(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 21, 7, 25, 0, 0, time.UTC)
	cases := map[string]struct {
		binding devices.Binding
		kind    fault.Kind
		says    string
	}{
		"no sensor":                         {devices.Binding{Patient: "anna", From: from}, fault.Invalid, "sensor:"},
		"no patient":                        {devices.Binding{Sensor: "cuff-7", From: from}, fault.Invalid, "patient:"},
		"an end before now, and no start":   {devices.Binding{Sensor: "cuff-7", Patient: "anna", To: from}, fault.Invalid, "to:"},
		"a start in another century":        {devices.Binding{Sensor: "cuff-7", Patient: "anna", From: from.AddDate(73, 0, 0)}, fault.Invalid, "at most a year ahead, not in 2099"},
		"an end at the start":               {devices.Binding{Sensor: "cuff-7", Patient: "anna", From: from, To: from}, fault.Invalid, "to:"},
		"an end within the microsecond":     {devices.Binding{Sensor: "cuff-7", Patient: "anna", From: from, To: from.Add(999)}, fault.Invalid, "to:"},
		"nobody of that name":               {devices.Binding{Sensor: "cuff-7", Patient: "bruno", From: from}, fault.NotFound, "there is no patient"},
		"a patient of another organisation": {devices.Binding{Sensor: "cuff-7", Patient: "elsewhere", From: from}, fault.NotFound, "there is no patient"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desk, b, told := open(nil)
			_, err := desk.Assign(t.Context(), worker(account.Administrator), c.binding)
			if !fault.Is(err, c.kind) || !strings.Contains(fault.MessageOf(err), c.says) {
				t.Errorf("got %v", err)
			}
			if b.changes() != 0 || *told != 0 {
				t.Error("something was changed")
			}
		})
	}
}

func TestDevicesShowsNothingOfASecret(t *testing.T) {
	t.Parallel()
	desk, b, _ := open(nil)
	for limit, asked := range map[int]int{0: 1000, 1000: 1000, 7: 7} {
		list, err := desk.Devices(t.Context(), worker(account.Manager), limit)
		if err != nil || len(list) != 1 || list[0].UID != "cuff-7" || list[0].SecretHash != [32]byte{} {
			t.Errorf("got %+v, %v", list, err)
		}
		if got := b.listed[len(b.listed)-1]; got != asked {
			t.Errorf("a limit of %d became %d", limit, got)
		}
	}
	if _, err := desk.Intake(t.Context(), worker(account.Manager), "cuff/7"); !fault.Is(err, fault.Invalid) {
		t.Errorf("an intake of a device that cannot be: %v", err)
	}
	for _, limit := range []int{-1, 1001} {
		if _, err := desk.Devices(t.Context(), worker(account.Manager), limit); !fault.Is(err, fault.Invalid) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestRevokeTellsTheEdges(t *testing.T) {
	t.Parallel()
	desk, b, told := open(nil)
	if err := desk.Revoke(t.Context(), worker(account.DeviceDesk), "cuff-7"); err != nil || *told != 1 || len(b.revoked) != 1 || b.revoked[0] != "cuff-7" {
		t.Errorf("got %v, told of %d changes, revoked %q", err, *told, b.revoked)
	}
	if err := desk.Revoke(t.Context(), worker(account.DeviceDesk), "cuff/7"); !fault.Is(err, fault.Invalid) || *told != 1 {
		t.Errorf("got %v", err)
	}
}

func TestTheDeskAsksWhoActs(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 21, 7, 25, 0, 0, time.UTC)
	acts := map[string]func(*devices.Desk, account.Actor) error{
		"enrol": func(d *devices.Desk, a account.Actor) error {
			e, err := d.Enrol(t.Context(), a, devices.Enrolment{Model: "BP 2"})
			if err != nil && e.Secret != "" {
				t.Error("a secret was shown for nothing")
			}
			return err
		},
		"assign": func(d *devices.Desk, a account.Actor) error {
			_, err := d.Assign(t.Context(), a, devices.Binding{Sensor: "cuff-7", Patient: "anna", From: from})
			return err
		},
		"list": func(d *devices.Desk, a account.Actor) error {
			_, err := d.Devices(t.Context(), a, 0)
			return err
		},
		"intake": func(d *devices.Desk, a account.Actor) error {
			in, err := d.Intake(t.Context(), a, "cuff-7")
			if err == nil && in.Total() != 10 {
				t.Errorf("the intake is %+v, %d in all", in, in.Total())
			}
			return err
		},
		"revoke": func(d *devices.Desk, a account.Actor) error { return d.Revoke(t.Context(), a, "cuff-7") },
	}
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for actor, kind := range map[account.Actor]fault.Kind{
				{}: fault.Unauthenticated, worker(account.Nurse): fault.Forbidden, worker(account.Researcher): fault.Forbidden,
			} {
				desk, b, told := open(nil)
				if err := act(desk, actor); !fault.Is(err, kind) || b.changes()+len(b.listed)+*told != 0 {
					t.Errorf("%q: got %v, %+v", actor.Role, err, b)
				}
			}
			taken := fault.New(fault.Conflict, "a device of that name is enrolled already")
			desk, _, told := open(taken)
			if err := act(desk, worker(account.DeviceDesk)); !fault.Is(err, fault.Conflict) || *told != 0 {
				t.Errorf("what the record says came as %v, told of %d changes", err, *told)
			}
			desk, _, _ = open(nil)
			desk.Changed = nil
			if err := act(desk, worker(account.DeviceDesk)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARevokedDeviceHasNoSecret(t *testing.T) {
	t.Parallel()
	d := devices.Device{SecretHash: sha256.Sum256([]byte("open sesame"))}
	if !d.Secret([]byte("open sesame"), time.Time{}) || d.Secret([]byte("open"), time.Time{}) || d.Secret(nil, time.Time{}) {
		t.Error("the secret is not told from others")
	}
	if d.Revoked = true; d.Secret([]byte("open sesame"), time.Time{}) {
		t.Error("a revoked device has a secret")
	}
}

func TestAnOwnerOwnsFromTheFirstMomentToBeforeTheLast(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	to := from.Add(time.Hour)
	s := devices.Snapshot{Assignments: map[vital.SensorID][]devices.Assignment{7: {{ID: 1, From: from, To: to}, {ID: 2, From: to}}}}
	for at, want := range map[time.Time]vital.AssignmentID{
		from.Add(-1): 0, from: 1, to.Add(-1): 1, to: 2, to.AddDate(10, 0, 0): 2,
	} {
		a, ok := s.Owner(7, at)
		if a.ID != want || ok != (want != 0) {
			t.Errorf("at %s it is assignment %d, want %d", at, a.ID, want)
		}
	}
	if _, ok := s.Owner(8, from); ok {
		t.Error("a sensor that nobody has is somebody's")
	}
}
