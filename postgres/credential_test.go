package postgres_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/postgres"
)

// credentials are those of the record, at a time that the test sets.
func (r *record) credentials(now *time.Time) *credential.Credentials {
	return credential.NewCredentials(r.app, r.app, func() time.Time { return *now })
}

// secretOf reports whether the device's secret at a time is the one given.
func (r *record) secretOf(t *testing.T, uid, secret string, at time.Time) bool {
	t.Helper()
	s, err := r.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Devices[uid].Secret([]byte(secret), at)
}

func TestACodePairsOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	c := r.credentials(&now)
	changed := 0
	c.Changed = func(context.Context) { changed++ }
	made, err := c.MakeCode(t.Context(), r.nurse, "cuff-1")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Standing(t.Context(), r.nurse, "cuff-1"); err != nil || s.Pairing.State(now) != credential.PairingWaits || s.Pairing.Code != "" {
		t.Errorf("standing %+v, %v", s, err)
	}
	home := netip.MustParseAddr("192.0.2.7")
	got, err := c.Pair(t.Context(), home, strings.ToLower(strings.ReplaceAll(made.Code, "-", " ")))
	if err != nil || got.UID != "cuff-1" || changed != 1 {
		t.Fatalf("paired %+v, %v, told %d times", got.UID, err, changed)
	}
	if !r.secretOf(t, "cuff-1", got.Secret, now) || r.secretOf(t, "cuff-1", "cuff-1", now) {
		t.Error("the old secret is still good, or the new one is not")
	}
	if _, err := c.Pair(t.Context(), home, made.Code); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("used twice: %v", err)
	}
	s, err := c.Standing(t.Context(), r.nurse, "cuff-1")
	if err != nil || s.Pairing.State(now) != credential.PairingDone || s.MadeAt.Before(made.CreatedAt.Truncate(time.Microsecond)) {
		t.Errorf("standing %+v, %v", s, err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action IN ('make pairing code', 'pair device') AND object = 'device cuff-1'`); n != 2 {
		t.Errorf("%d rows in the trail", n)
	}
}

func TestACodeThatIsNotGoodAlwaysGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	home := netip.MustParseAddr("192.0.2.7")
	for name, spoil := range map[string]func(t *testing.T, c *credential.Credentials, now *time.Time, uid string, made *credential.PairingCode){
		"it is too old": func(_ *testing.T, _ *credential.Credentials, now *time.Time, _ string, made *credential.PairingCode) {
			*now = made.ExpiresAt.Add(time.Millisecond)
		},
		"a newer one took its place": func(t *testing.T, c *credential.Credentials, _ *time.Time, uid string, _ *credential.PairingCode) {
			t.Helper()
			if _, err := c.MakeCode(t.Context(), r.nurse, uid); err != nil {
				t.Fatal(err)
			}
		},
		"the device was revoked": func(t *testing.T, _ *credential.Credentials, _ *time.Time, uid string, _ *credential.PairingCode) {
			t.Helper()
			if err := r.app.Revoke(t.Context(), r.nurse, uid); err != nil {
				t.Fatal(err)
			}
		},
		"it was tried too often": func(t *testing.T, c *credential.Credentials, now *time.Time, uid string, made *credential.PairingCode) {
			t.Helper()
			wrong := made.Code[:4] + "0000" + "0000"
			for range credential.MostAttempts {
				if _, err := c.Pair(t.Context(), home, wrong); !fault.Is(err, fault.Unauthenticated) {
					t.Fatalf("a wrong code: %v", err)
				}
			}
			if s, err := c.Standing(t.Context(), r.nurse, uid); err != nil || s.Pairing.State(*now) != credential.PairingTried {
				t.Errorf("standing %+v, %v", s.Pairing, err)
			}
		},
		"it is another": func(_ *testing.T, _ *credential.Credentials, _ *time.Time, _ string, made *credential.PairingCode) {
			made.Code = made.Code[:10] + "0000"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			c := r.credentials(&now)
			uid := "dev-" + strings.ReplaceAll(name, " ", "-")
			d, _ := r.addDevice(t, r.nurse, r.patient, uid)
			made, err := c.MakeCode(t.Context(), r.nurse, d.UID)
			if err != nil {
				t.Fatal(err)
			}
			spoil(t, c, &now, d.UID, &made)
			_, err = c.Pair(t.Context(), home, made.Code)
			if !fault.Is(err, fault.Unauthenticated) || !strings.HasPrefix(fault.MessageOf(err), "this code does not pair") {
				t.Errorf("%v", err)
			}
			if !r.secretOf(t, uid, uid, now) && name != "the device was revoked" {
				t.Error("the device has lost its secret")
			}
		})
	}
}

func TestWhoTriesManyCodesWaitsAndOthersDoNot(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	c := r.credentials(&now)
	made, err := c.MakeCode(t.Context(), r.nurse, "cuff-1")
	if err != nil {
		t.Fatal(err)
	}
	guesser := netip.MustParseAddr("192.0.2.66")
	for i := range credential.FreeGuesses {
		if _, err := c.Pair(t.Context(), guesser, fmt.Sprintf("%012d", i)); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
	}
	if _, err := c.Pair(t.Context(), guesser, made.Code); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the guesser does not wait: %v", err)
	}
	if _, err := c.Pair(t.Context(), guesser, "K7W2"); !fault.Is(err, fault.Invalid) {
		t.Errorf("what is no code: %v", err)
	}
	if _, err := c.Pair(t.Context(), netip.MustParseAddr("192.0.2.7"), made.Code); err != nil {
		t.Errorf("another has to wait: %v", err)
	}
}

func TestTwoSecretsAreGoodUntilTheNewOneIsUsedOrTheTimeIsOver(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	c := r.credentials(&now)
	good := func(what, secret string, at time.Time, want bool) {
		t.Helper()
		if got := r.secretOf(t, "cuff-1", secret, at); got != want {
			t.Errorf("%s: good %v, want %v", what, got, want)
		}
	}
	renew := func() credential.GivenSecret {
		t.Helper()
		got, err := c.Renew(t.Context(), r.nurse, "cuff-1", 0)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	second := renew()
	good("the old one", "cuff-1", now, true)
	good("the new one", second.Secret, now, true)
	good("the old one after its end", "cuff-1", second.OldUntil, false)
	good("the new one after the end of the old", second.Secret, second.OldUntil, true)

	third := renew() // second was never used: it is not what the device has
	good("the old one beside the third", "cuff-1", now, true)
	good("the second, replaced by the third", second.Secret, now, false)
	good("the third", third.Secret, now, true)

	s, err := r.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := s.Devices["cuff-1"]
	if d.Renews(devices.HashSecret([]byte("cuff-1"))) || !d.Renews(devices.HashSecret([]byte(third.Secret))) || !s.NextEnd(now).Equal(third.OldUntil) {
		t.Errorf("device %+v", d)
	}
	if err := r.work.DropOldSecret(t.Context(), d, devices.HashSecret([]byte(second.Secret))); err != nil {
		t.Fatal(err)
	}
	good("the old one, while the new one was not seen", "cuff-1", now, true)
	if err := r.work.DropOldSecret(t.Context(), d, devices.HashSecret([]byte(third.Secret))); err != nil {
		t.Fatal(err)
	}
	good("the old one, after the new one was seen", "cuff-1", now, false)
	good("the new one, as the only one", third.Secret, now.AddDate(1, 0, 0), true)

	fourth := renew()
	if err := c.DropOld(t.Context(), r.nurse, "cuff-1"); err != nil {
		t.Fatal(err)
	}
	good("the old one, ended by the desk", third.Secret, now, false)
	good("the fourth", fourth.Secret, now, true)
	if err := c.DropOld(t.Context(), r.nurse, "cuff-1"); !fault.Is(err, fault.Conflict) {
		t.Errorf("nothing is to be ended: %v", err)
	}

	fifth := renew()
	r.exec(t, `UPDATE device SET overlap_until = now() - interval '1 second' WHERE uid = 'cuff-1'`)
	sixth := renew() // the fifth is what the device has: its time had come
	good("the fourth, whose time is over", fourth.Secret, now, false)
	good("the fifth, beside the sixth", fifth.Secret, now, true)
	good("the sixth", sixth.Secret, now, true)
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'end old secret'`); n != 2 {
		t.Errorf("%d ends in the trail, want that of the device and that of the desk", n)
	}
}

func TestWhatTheDeskMayNotDoWithSecrets(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	c := r.credentials(&now)
	stranger := r.staff(t, "Elsewhere", "eva")
	nurse := r.nurse
	nurse.Role = account.Nurse
	r.addDevice(t, r.nurse, r.patient, "gone")
	if err := r.app.Revoke(t.Context(), r.nurse, "gone"); err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		who  account.Actor
		uid  string
		want fault.Kind
	}{
		"a nurse":                    {nurse, "cuff-1", fault.Forbidden},
		"another organisation":       {stranger, "cuff-1", fault.NotFound},
		"a device that is not there": {r.nurse, "cuff-9", fault.NotFound},
		"a device that was revoked":  {r.nurse, "gone", fault.Conflict},
		"what is no name":            {r.nurse, "a/b", fault.Invalid},
	} {
		_, renewed := c.Renew(t.Context(), one.who, one.uid, 0)
		_, coded := c.MakeCode(t.Context(), one.who, one.uid)
		for what, err := range map[string]error{"renew": renewed, "make a code": coded, "end the old one": c.DropOld(t.Context(), one.who, one.uid)} {
			if !fault.Is(err, one.want) {
				t.Errorf("%s, %s: %v, want %s", name, what, err, one.want)
			}
		}
	}
	if _, err := c.Renew(t.Context(), r.nurse, "cuff-1", credential.LongestOverlap+time.Hour); !fault.Is(err, fault.Invalid) {
		t.Errorf("an overlap without end: %v", err)
	}
	for _, statement := range []string{"SELECT secret_hash FROM device", "SELECT next_secret_hash FROM device", "SELECT broker_hash FROM device", "SELECT code_hash FROM pairing_code", "UPDATE device SET secret_hash = secret_hash", "UPDATE pairing_code SET used_at = now()"} {
		if got := r.asRole(t, "hale_app", "1", statement); got != "42501" {
			t.Errorf("%s: SQLSTATE %q", statement, got)
		}
	}
}

// broker is a program with a key with which a broker asks.
func (r *record) broker() account.Actor {
	return account.Actor{Org: r.nurse.Org, Role: account.SystemRole, Name: "EMQX", Key: 1, Scopes: account.ScopesOf(account.CheckDevice)}
}

func TestABrokerIsToldWhomToLetIn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	c := r.credentials(&now)
	r.addDevice(t, r.nurse, r.patient, "gone")
	if err := r.app.Revoke(t.Context(), r.nurse, "gone"); err != nil {
		t.Fatal(err)
	}
	stranger := r.staff(t, "Elsewhere", "eva")
	elsewhere := r.broker()
	elsewhere.Org = stranger.Org
	for name, one := range map[string]struct {
		who   account.Actor
		login credential.Login
		want  bool
	}{
		"a device with its secret":      {r.broker(), credential.Login{ClientID: "cuff-1", User: "cuff-1", Password: "cuff-1"}, true},
		"a wrong secret":                {r.broker(), credential.Login{ClientID: "cuff-1", User: "cuff-1", Password: "cuff-2"}, false},
		"no secret":                     {r.broker(), credential.Login{ClientID: "cuff-1", User: "cuff-1"}, false},
		"another's client id":           {r.broker(), credential.Login{ClientID: "cuff-2", User: "cuff-1", Password: "cuff-1"}, false},
		"a device that was revoked":     {r.broker(), credential.Login{ClientID: "gone", User: "gone", Password: "gone"}, false},
		"nobody":                        {r.broker(), credential.Login{}, false},
		"another organisation's device": {elsewhere, credential.Login{ClientID: "cuff-1", User: "cuff-1", Password: "cuff-1"}, false},
	} {
		if got, err := c.Admit(t.Context(), one.who, one.login); err != nil || got != one.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := c.Admit(t.Context(), r.nurse, credential.Login{}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a person asked: %v", err)
	}
	renewed, err := c.Renew(t.Context(), r.nurse, "cuff-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range []struct {
		secret string
		want   bool
	}{{"cuff-1", true}, {renewed.Secret, true}, {"cuff-1", false}, {renewed.Secret, true}} {
		if got, err := c.Admit(t.Context(), r.broker(), credential.Login{ClientID: "cuff-1", User: "cuff-1", Password: one.secret}); err != nil || got != one.want {
			t.Errorf("login %d: %v, %v; want %v", i, got, err, one.want)
		}
	}
	for _, one := range []struct {
		uid, topic string
		use        credential.Use
		want       bool
	}{
		{"cuff-1", "hale/v1/cuff-1/readings", credential.Publish, true},
		{"cuff-1", "hale/v1/cuff-1/sensors/scale/readings", credential.Publish, true},
		{"cuff-1", "hale/v1/cuff-2/readings", credential.Publish, false},
		{"cuff-1", "hale/v1/cuff-1", credential.Publish, false},
		{"cuff-1", "hale/v1/cuff-1/#", credential.Publish, false},
		{"cuff-1", "hale/v1/cuff-1/receipts", credential.Subscribe, true},
		{"cuff-1", "hale/v1/cuff-1/#", credential.Subscribe, true},
		{"cuff-1", "hale/v1/+/receipts", credential.Subscribe, false},
		{"cuff-1", "$share/g/hale/v1/cuff-1/receipts", credential.Subscribe, false},
		{"cuff-1", "#", credential.Subscribe, false},
		{"cuff-1", "hale/v1/cuff-1/readings", "all", false},
		{"+", "hale/v1/+/receipts", credential.Subscribe, false},
		{"gone", "hale/v1/gone/readings", credential.Publish, false},
		{"unknown", "hale/v1/unknown/readings", credential.Publish, false},
	} {
		if got, err := c.MayUse(t.Context(), r.broker(), one.uid, one.use, one.topic); err != nil || got != one.want {
			t.Errorf("%s to %s %s: %v, %v", one.uid, one.use, one.topic, got, err)
		}
	}
}

func TestAGuesserAtABrokerWaitsAndADeviceWithAnOldSecretDoesNotMakeOthersWait(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	c := r.credentials(&now)
	r.addDevice(t, r.nurse, r.patient, "cuff-2")
	login := func(from, uid, password string) bool {
		t.Helper()
		got, err := c.Admit(t.Context(), r.broker(), credential.Login{ClientID: uid, User: uid, Password: password, From: netip.MustParseAddr(from)})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for range 3 * credential.FreeGuesses {
		if login("192.0.2.7", "cuff-1", "an old secret") {
			t.Fatal("a wrong secret opens")
		}
	}
	if !login("192.0.2.7", "cuff-1", "cuff-1") {
		t.Error("a neighbour with an old secret keeps the device out")
	}
	for i := range credential.FreeGuesses {
		login("192.0.2.66", "cuff-2", fmt.Sprint(i))
	}
	if login("192.0.2.66", "cuff-2", "cuff-2") {
		t.Error("a guesser does not wait")
	}
	if !login("192.0.2.66", "cuff-1", "cuff-1") || !login("192.0.2.7", "cuff-2", "cuff-2") {
		t.Error("others wait with the guesser")
	}
}

func TestABrokersFilesHoldWhoIsInUse(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	c := r.credentials(&now)
	desk := &devices.Desk{Kit: r.app, Now: func() time.Time { return now }}
	for _, uid := range []string{"scale-1", "gone"} {
		if _, err := desk.Enrol(t.Context(), r.nurse, devices.Enrolment{UID: uid, Model: "scale"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.app.Revoke(t.Context(), r.nurse, "gone"); err != nil {
		t.Fatal(err)
	}
	operator := postgres.Operator{AdminURL: r.db.AdminURL()}
	read := func(organisation string) (users []credential.BrokerUser, err error) {
		err = operator.BrokerUsers(t.Context(), organisation, func(list []credential.BrokerUser) (bool, error) {
			changed := !slices.Equal(users, list)
			users = list
			return changed, nil
		})
		return users, err
	}
	before, err := read("Home")
	if err != nil {
		t.Fatal(err)
	}
	if _, left := credential.MosquittoPasswords(before); len(before) != 2 || cmp.Diff([]string{"cuff-1"}, left) != "" || !strings.HasPrefix(before[1].Hash, "$7$") {
		t.Errorf("users %v, without a hash %v", before, left)
	}
	renewed, err := c.Renew(t.Context(), r.nurse, "scale-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if during, err := read("Home"); err != nil || cmp.Diff(before, during) != "" {
		t.Errorf("while both secrets are good: %v, %v", during, err)
	}
	if good, err := c.Admit(t.Context(), r.broker(), credential.Login{ClientID: "scale-1", User: "scale-1", Password: renewed.Secret}); err != nil || !good {
		t.Fatalf("%v %v", good, err)
	}
	if after, err := read("Home"); err != nil || after[1].Hash == before[1].Hash || !strings.HasPrefix(after[1].Hash, "$7$") {
		t.Errorf("after the new one was shown: %v, %v", after, err)
	}
	if _, err := read("Nowhere"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an organisation that is not there: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'write broker files'`); n != 3 {
		t.Errorf("%d rows in the trail", n)
	}
}
