package devices_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"hale/devices"
	"hale/internal/certs"
	"hale/vital"
)

// trusted is an authority of organisation 1 as the registry has it, in force.
func trusted(a *certs.Authority, uid string, kind devices.AuthorityKind) *devices.Authority {
	c := a.Certificate
	return &devices.Authority{UID: vital.UID(uid), Org: 1, Kind: kind, Name: uid, Certificate: c, From: c.NotBefore, Until: c.NotAfter}
}

func known(c *tls.Certificate) devices.Certificate {
	return devices.Certificate{Fingerprint: devices.FingerprintOf(c.Leaf), NotBefore: c.Leaf.NotBefore, NotAfter: c.Leaf.NotAfter}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	now := time.Now()
	maker, other, batches := certs.New(t, "maker"), certs.New(t, "other"), certs.New(t, "batches")
	middle := maker.Below(t, "middle")
	cuff := maker.Issue(t, certs.Leaf{Name: "cuff-1"})
	cases := map[string]struct {
		shown  tls.Certificate
		beside []*x509.Certificate
		change func(s *devices.Snapshot)
		want   devices.Objection
	}{
		"a certificate that was written down lets its device in": {shown: cuff},
		"the name may stand in a URI":                            {shown: maker.Issue(t, certs.Leaf{Name: "Cuff 3000", URI: "urn:hale:device:cuff-1"})},
		"another URI is no name":                                 {shown: maker.Issue(t, certs.Leaf{Name: "Cuff", URI: "https://maker.example/cuff-1"}), want: devices.ObjectionName},
		"an authority between is sent along":                     {shown: middle.Issue(t, certs.Leaf{Name: "cuff-1"}), beside: []*x509.Certificate{middle.Certificate}},
		"an authority between that is not sent is missing":       {shown: middle.Issue(t, certs.Leaf{Name: "cuff-1"}), want: devices.ObjectionAuthority},
		"a maker without key usages is taken at its word":        {shown: maker.Issue(t, certs.Leaf{Name: "cuff-1", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})},
		"a server's certificate is none of a client": {
			shown: maker.Issue(t, certs.Leaf{Name: "cuff-1", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), want: devices.ObjectionAuthority,
		},
		"a name that nobody enrolled": {shown: maker.Issue(t, certs.Leaf{Name: "cuff-9"}), want: devices.ObjectionName},
		"no name at all":              {shown: maker.Issue(t, certs.Leaf{}), want: devices.ObjectionName},
		"one of a trusted authority that we did not write down": {
			shown: maker.Issue(t, certs.Leaf{Name: "cuff-1"}), change: func(s *devices.Snapshot) { s.Devices["cuff-1"].Certificates = nil }, want: devices.ObjectionUnknown,
		},
		"one that was written down for another device": {
			shown: maker.Issue(t, certs.Leaf{Name: "cuff-1"}),
			change: func(s *devices.Snapshot) {
				s.Devices["cuff-2"] = &devices.Device{Org: 1, UID: "cuff-2", Certificates: s.Devices["cuff-1"].Certificates}
				s.Devices["cuff-1"].Certificates = nil
			}, want: devices.ObjectionUnknown,
		},
		"an authority that nobody trusts": {shown: other.Issue(t, certs.Leaf{Name: "cuff-1"}), want: devices.ObjectionAuthority},
		"an authority that another organisation trusts": {
			shown: cuff, change: func(s *devices.Snapshot) { s.Authorities = map[vital.OrgID][]*devices.Authority{2: s.Authorities[1]} }, want: devices.ObjectionAuthority,
		},
		"a claim certificate opens no connection": {shown: batches.Issue(t, certs.Leaf{Name: "cuff-1"}), want: devices.ObjectionAuthority},
		"one that has ended a second ago":         {shown: maker.Issue(t, certs.Leaf{Name: "cuff-1", To: now.Add(-time.Second)}), want: devices.ObjectionExpired},
		"one that begins tomorrow":                {shown: maker.Issue(t, certs.Leaf{Name: "cuff-1", From: now.Add(time.Hour)}), want: devices.ObjectionEarly},
		"one that was revoked": {
			shown: cuff, change: func(s *devices.Snapshot) { s.Devices["cuff-1"].Certificates[0].Revoked = true }, want: devices.ObjectionRevoked,
		},
		"one of a device that was revoked": {shown: cuff, change: func(s *devices.Snapshot) { s.Devices["cuff-1"].Revoked = true }, want: devices.ObjectionRevoked},
		"one of an authority that was revoked": {
			shown: cuff, change: func(s *devices.Snapshot) { s.Authorities[1][0].Revoked = true }, want: devices.ObjectionAuthority,
		},
		"one of an authority that is trusted from tomorrow on": {
			shown: cuff, change: func(s *devices.Snapshot) { s.Authorities[1][0].From = now.Add(time.Hour) }, want: devices.ObjectionAuthority,
		},
		"one of an authority that was trusted until now": {
			shown: cuff, change: func(s *devices.Snapshot) { s.Authorities[1][0].Until = now }, want: devices.ObjectionAuthority,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &devices.Snapshot{
				Devices:     map[string]*devices.Device{"cuff-1": {Org: 1, UID: "cuff-1", Certificates: []devices.Certificate{known(&c.shown)}}},
				Authorities: map[vital.OrgID][]*devices.Authority{1: {trusted(maker, "maker", devices.ForDevices), trusted(batches, "batches", devices.ForClaims)}},
			}
			if c.change != nil {
				c.change(s)
			}
			p, got := s.Identify(append([]*x509.Certificate{c.shown.Leaf}, c.beside...), now)
			if got != c.want {
				t.Fatalf("the objection is %q, want %q", got, c.want)
			}
			if got == "" && (p.Device != s.Devices["cuff-1"] || p.Authority != s.Authorities[1][0].UID || !p.Until.Equal(c.shown.Leaf.NotAfter)) {
				t.Errorf("the proof is %+v", p)
			}
			if got == "" && !s.Stands(&p, now) {
				t.Error("a proof does not stand at the moment at which it was given")
			}
		})
	}
}

func TestAProofStandsUntilSomethingOfItFalls(t *testing.T) {
	t.Parallel()
	now := time.Now()
	maker, next := certs.New(t, "maker"), certs.New(t, "next")
	cuff := maker.Issue(t, certs.Leaf{Name: "cuff-1"})
	fresh := func() *devices.Snapshot {
		return &devices.Snapshot{
			Devices:     map[string]*devices.Device{"cuff-1": {Org: 1, UID: "cuff-1", Certificates: []devices.Certificate{known(&cuff)}}},
			Authorities: map[vital.OrgID][]*devices.Authority{1: {trusted(maker, "maker", devices.ForDevices), trusted(next, "next", devices.ForDevices)}},
		}
	}
	cases := map[string]struct {
		change func(s *devices.Snapshot)
		after  time.Duration
		want   bool
	}{
		"nothing has changed":          {func(*devices.Snapshot) {}, 0, true},
		"another authority is revoked": {func(s *devices.Snapshot) { s.Authorities[1][1].Revoked = true }, 0, true},
		"a second certificate is there": {func(s *devices.Snapshot) {
			d := s.Devices["cuff-1"]
			d.Certificates = append(d.Certificates, devices.Certificate{})
		}, 0, true},
		"its authority is revoked":          {func(s *devices.Snapshot) { s.Authorities[1][0].Revoked = true }, 0, false},
		"its authority is not for it":       {func(s *devices.Snapshot) { s.Authorities[1][0].Kind = devices.ForClaims }, 0, false},
		"its authority is gone":             {func(s *devices.Snapshot) { s.Authorities[1] = s.Authorities[1][1:] }, 0, false},
		"its authority ends earlier by now": {func(s *devices.Snapshot) { s.Authorities[1][0].Until = now }, 0, false},
		"the certificate is revoked":        {func(s *devices.Snapshot) { s.Devices["cuff-1"].Certificates[0].Revoked = true }, 0, false},
		"the certificate is gone":           {func(s *devices.Snapshot) { s.Devices["cuff-1"].Certificates = nil }, 0, false},
		"the device is revoked":             {func(s *devices.Snapshot) { s.Devices["cuff-1"].Revoked = true }, 0, false},
		"the device is gone":                {func(s *devices.Snapshot) { delete(s.Devices, "cuff-1") }, 0, false},
		"the certificate has ended":         {func(*devices.Snapshot) {}, 24 * time.Hour, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, objection := fresh().Identify([]*x509.Certificate{cuff.Leaf}, now)
			if objection != "" {
				t.Fatal(objection)
			}
			s := fresh()
			c.change(s)
			if got := s.Stands(&p, now.Add(c.after)); got != c.want {
				t.Errorf("it stands: %v, want %v", got, c.want)
			}
		})
	}
}

func TestAProofEndsWithItsAuthority(t *testing.T) {
	t.Parallel()
	now := time.Now()
	maker := certs.New(t, "maker")
	cuff := maker.Issue(t, certs.Leaf{Name: "cuff-1"})
	a := trusted(maker, "maker", devices.ForDevices)
	a.Until = now.Add(time.Minute)
	s := &devices.Snapshot{
		Devices:     map[string]*devices.Device{"cuff-1": {Org: 1, UID: "cuff-1", Certificates: []devices.Certificate{known(&cuff)}}},
		Authorities: map[vital.OrgID][]*devices.Authority{1: {a}},
	}
	if p, _ := s.Identify([]*x509.Certificate{cuff.Leaf}, now); !p.Until.Equal(a.Until) {
		t.Errorf("the proof ends %v, want %v", p.Until, a.Until)
	}
}
