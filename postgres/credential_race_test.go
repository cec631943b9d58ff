package postgres_test

import (
	"context"
	"crypto/tls"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/internal/certs"
)

// home is from where the device of a test pairs itself.
func home() netip.Addr { return netip.MustParseAddr("192.0.2.7") }

// renewed asks for a certificate for cuff-1, by its secret or by the certificate that it shows; nil with the error when it gets none.
func (r *trustee) renewed(t *testing.T, secret string, shown *tls.Certificate) (*tls.Certificate, error) {
	t.Helper()
	key := certs.Key(t)
	a := credential.Asking{Name: "cuff-1", Request: certs.Request(t, "cuff-1", key), Secret: secret}
	if shown != nil {
		a.Chain, a.Signature = certs.PEM(shown.Leaf), certs.Signature(t, shown, a.Request)
	}
	made, err := r.Renew(t.Context(), a)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Leaf: made, PrivateKey: key}, nil
}

// opens returns the doors that let cuff-1 in by a secret, and by a certificate if there is one: there should be none of them once
// both have ended.
func (r *trustee) opens(t *testing.T, c *credential.Credentials, secret string, shown *tls.Certificate) []string {
	t.Helper()
	s, err := r.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := []string{}
	add := func(door string, lets bool) {
		if lets {
			open = append(open, door)
		}
	}
	add("the edge, by secret", s.Devices["cuff-1"].Secret([]byte(secret), time.Now()))
	phones := credential.NewPhones(func() (*devices.Snapshot, bool) { return s, true }, time.Now)
	_, err = phones.Knock(home(), "cuff-1", []byte(secret))
	add("a phone", err == nil)
	lets, err := c.Admit(t.Context(), r.broker(), credential.Login{ClientID: "cuff-1", User: "cuff-1", Password: secret})
	if err != nil {
		t.Fatal(err)
	}
	add("a broker", lets)
	_, err = r.renewed(t, secret, nil)
	add("a renewal, by secret", err == nil)
	if shown != nil {
		uid, _ := r.identified(t, shown.Leaf)
		add("the edge, by certificate", uid != "")
		_, err = r.renewed(t, "", shown)
		add("a renewal, by certificate", err == nil)
	}
	return open
}

// cut is what ends all that cuff-1 could show before.
type cut struct {
	overlap bool // a second secret is good when it happens
	does    func(ctx context.Context, r *trustee, c *credential.Credentials, code string) error
}

// cuts are the three.
func cuts() map[string]cut {
	return map[string]cut{
		"pairing anew": {does: func(ctx context.Context, _ *trustee, c *credential.Credentials, code string) error {
			_, err := c.Pair(ctx, home(), code)
			return err
		}},
		"revocation": {does: func(ctx context.Context, r *trustee, _ *credential.Credentials, _ string) error {
			return r.app.Revoke(ctx, r.nurse, "cuff-1")
		}},
		"the end of a secret that has leaked": {overlap: true, does: func(ctx context.Context, r *trustee, c *credential.Credentials, _ string) error {
			return c.DropOld(ctx, r.nurse, "cuff-1")
		}},
	}
}

// prepared makes what a cut needs, and returns the desk of credentials and a pairing code.
func (r *trustee) prepared(t *testing.T, one cut) (*credential.Credentials, string) {
	t.Helper()
	now := time.Now()
	c := r.credentials(&now)
	made, err := c.MakeCode(t.Context(), r.nurse, "cuff-1")
	if err == nil && one.overlap {
		_, err = c.Renew(t.Context(), r.nurse, "cuff-1", time.Hour)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, made.Code
}

// TestARenewalIsDecidedBeforeACutOrAfterItAndNeverBeside lets both wait for the device, in either order: whoever comes second sees
// all that the first has done.
func TestARenewalIsDecidedBeforeACutOrAfterItAndNeverBeside(t *testing.T) {
	t.Parallel()
	for name, one := range cuts() {
		for order, renewalFirst := range map[string]bool{"the renewal comes first": true, "it comes second": false} {
			t.Run(name+", "+order, func(t *testing.T) {
				t.Parallel()
				r := newTrustee(t)
				c, code := r.prepared(t, one)
				var got *tls.Certificate
				renewal := func() (err error) { got, err = r.renewed(t, "cuff-1", nil); return err }
				ending := func() error { return one.does(t.Context(), r, c, code) }
				first, second := ending, renewal
				if renewalFirst {
					first, second = renewal, ending
				}
				busy := r.hold(t, `SELECT 1 FROM device WHERE uid = 'cuff-1' FOR UPDATE`)
				firstEnded, secondEnded := r.begun(t, first), make(chan error, 1)
				go func() { secondEnded <- second() }()
				r.until(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`, 2)
				if err := busy.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := <-firstEnded; err != nil {
					t.Errorf("the first: %v", err)
				}
				if err := <-secondEnded; renewalFirst && err != nil || !renewalFirst && !fault.Is(err, fault.Unauthenticated) {
					t.Errorf("the second: %v", err)
				}
				if diff := cmp.Diff([]string{}, r.opens(t, c, "cuff-1", got)); diff != "" {
					t.Errorf("doors that open by what has ended (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestRenewalsBesideACutLeaveNoDoorOpen lets several come at the same moment, again and again, in whatever order that happens.
func TestRenewalsBesideACutLeaveNoDoorOpen(t *testing.T) {
	t.Parallel()
	for name, one := range cuts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTrustee(t)
			c, code := r.prepared(t, one)
			start := make(chan struct{})
			got, failed := make([]*tls.Certificate, 6), make([]error, 6)
			var all sync.WaitGroup
			for i := range got {
				all.Go(func() {
					<-start
					got[i], failed[i] = r.renewed(t, "cuff-1", nil)
				})
			}
			var ended error
			all.Go(func() {
				<-start
				ended = one.does(t.Context(), r, c, code)
			})
			close(start)
			all.Wait()
			if ended != nil {
				t.Fatal(ended)
			}
			for i := range got {
				if failed[i] != nil && !fault.Is(failed[i], fault.Unauthenticated) {
					t.Errorf("a renewal: %v", failed[i])
				}
				if open := r.opens(t, c, "cuff-1", got[i]); len(open) > 0 {
					t.Errorf("by what has ended open %v", open)
				}
			}
		})
	}
}

// TestANewSecretThatIsShownForACertificateEndsTheOld as it does at the edge, at a broker and from a phone.
func TestANewSecretThatIsShownForACertificateEndsTheOld(t *testing.T) {
	t.Parallel()
	r := newTrustee(t)
	now := time.Now()
	c := r.credentials(&now)
	told := 0
	r.Changed = func(context.Context) { told++ }
	next, err := c.Renew(t.Context(), r.nurse, "cuff-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.renewed(t, "cuff-1", nil)
	if err != nil || !r.secretOf(t, "cuff-1", "cuff-1", now) || !r.secretOf(t, "cuff-1", next.Secret, now) {
		t.Fatalf("by the old one, which leaves two good: %v", err)
	}
	stranger := certs.New(t, "stranger").Issue(t, certs.Leaf{Name: "cuff-1"})
	_, err = r.renewed(t, next.Secret, &stranger)
	wantFault(t, "with a certificate beside that is not good", err, fault.Unauthenticated)
	if !r.secretOf(t, "cuff-1", "cuff-1", now) {
		t.Error("what was refused has ended the old secret")
	}
	key := certs.Key(t)
	ask := credential.Asking{Name: "cuff-1", Request: certs.Request(t, "cuff-1", key), Secret: next.Secret}
	told = 0
	second, err := r.Renew(t.Context(), ask)
	if err != nil || told != 1 {
		t.Fatalf("by the new one, told %d times: %v", told, err)
	}
	if diff := cmp.Diff([]string{}, r.opens(t, c, "cuff-1", nil)); diff != "" {
		t.Errorf("doors that open by the old secret (-want +got):\n%s", diff)
	}
	if again, err := r.Renew(t.Context(), ask); err != nil || !again.Equal(second) {
		t.Errorf("asked again: another one, %v", err)
	}
	r.expect(t, second, "cuff-1", "")
	r.expect(t, first.Leaf, "cuff-1", "") // until its own end, for the device may not have the next one yet
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'end old secret' AND object = 'device cuff-1'`); n != 1 {
		t.Errorf("%d ends of an old secret in the trail", n)
	}
}
