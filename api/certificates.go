package api

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"time"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/vital"
)

type certificateBody struct {
	Device      string            `json:"device" doc:"UID" example:"bp-0017"`
	Fingerprint string            `json:"fingerprint" doc:"SHA-256 of the certificate, in hexadecimal"`
	Serial      string            `json:"serial" doc:"Number of the certificate, in hexadecimal"`
	Origin      credential.Origin `json:"origin" enum:"given,signed,renewed,claimed" doc:"The desk wrote it down, Hale signed it for the desk, for the device itself, or for a device that was claimed"`
	NotBefore   time.Time         `json:"not_before"`
	NotAfter    time.Time         `json:"not_after" doc:"Its end. The device is not let in with it from then on"`
	CreatedAt   time.Time         `json:"created_at"`
	RevokedAt   *time.Time        `json:"revoked_at,omitempty"`
	From        string            `json:"renewed_from,omitempty" doc:"Fingerprint of the certificate that the device showed for it"`
}

type certificatesOutput struct {
	Body struct {
		Certificates []certificateBody `json:"certificates"`
	}
}

func certificatesOf(list []credential.KeptCertificate) *certificatesOutput {
	out := &certificatesOutput{}
	out.Body.Certificates = make([]certificateBody, len(list))
	for i := range list {
		k := &list[i]
		one := certificateBody{k.Device, k.Fingerprint.String(), k.Serial, k.Origin, k.NotBefore, k.NotAfter, k.CreatedAt, at(k.RevokedAt), ""}
		if k.From != nil {
			one.From = k.From.String()
		}
		out.Body.Certificates[i] = one
	}
	return out
}

type endingCertificatesInput struct {
	Within int `query:"within_days" minimum:"1" maximum:"366" default:"30" doc:"Days from now"`
}

type addCertificateInput struct {
	UID  string `path:"uid" maxLength:"64"`
	Body struct {
		CSR         string `json:"csr,omitempty" maxLength:"16384" doc:"A certificate signing request in PEM; Hale signs it. Of what stands in it only the key counts"`
		Certificate string `json:"certificate,omitempty" maxLength:"65536" doc:"Or a certificate in PEM that an authority you trust has signed, with what stands between behind it"`
	}
}

type madeOutput struct {
	Body struct {
		Device      string    `json:"device" doc:"UID: the client id of MQTT, and the first level of its topics" example:"bp-0017"`
		Certificate string    `json:"certificate" doc:"PEM. The private key stays where it is"`
		Fingerprint string    `json:"fingerprint"`
		NotAfter    time.Time `json:"not_after" doc:"Renew it in good time: both are good until then"`
	}
}

func madeOf(device string, c *x509.Certificate) *madeOutput {
	out := &madeOutput{}
	out.Body.Device, out.Body.Certificate, out.Body.Fingerprint, out.Body.NotAfter = device, pemOf(c), devices.FingerprintOf(c).String(), c.NotAfter.UTC()
	return out
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

type revokeCertificateInput struct {
	UID         string `path:"uid" maxLength:"64"`
	Fingerprint string `path:"fingerprint" maxLength:"95" doc:"Hexadecimal"`
	Alone       bool   `query:"alone" doc:"What was renewed from it stays good: for one that the device has replaced, and whose key nobody else has"`
}

type authorityBody struct {
	ID          vital.UID             `json:"id" format:"uuid"`
	Kind        devices.AuthorityKind `json:"kind" enum:"device,claim" doc:"What its certificates are for: to connect, or to claim with"`
	Name        string                `json:"name" example:"Cuff maker, 2026"`
	Subject     string                `json:"subject" doc:"As its certificate names it"`
	Fingerprint string                `json:"fingerprint"`
	From        time.Time             `json:"from"`
	Until       time.Time             `json:"until"`
	Revoked     bool                  `json:"revoked"`
}

func authorityOf(a *devices.Authority) authorityBody {
	return authorityBody{a.UID, a.Kind, a.Name, a.Certificate.Subject.String(), devices.FingerprintOf(a.Certificate).String(), a.From, a.Until, a.Revoked}
}

type authoritiesOutput struct {
	Body struct {
		Authorities []authorityBody `json:"authorities"`
	}
}

type trustInput struct {
	Body struct {
		Kind        string     `json:"kind" enum:"device,claim"`
		Name        string     `json:"name" minLength:"1" maxLength:"200" example:"Cuff maker, 2026"`
		Certificate string     `json:"certificate" maxLength:"16384" doc:"Of the authority, PEM"`
		From        *time.Time `json:"from,omitempty" doc:"Now when left out"`
		Until       *time.Time `json:"until,omitempty" doc:"The end of the certificate when left out"`
	}
}

type authorityOutput struct {
	Body authorityBody
}

type authorityInput struct {
	ID string `path:"id" format:"uuid"`
}

type claimableInput struct {
	UID  string `path:"uid" maxLength:"64"`
	Body struct {
		Serial string     `json:"serial,omitempty" maxLength:"200" doc:"As the device knows itself; its UID when left out"`
		Batch  string     `json:"batch,omitempty" maxLength:"200" doc:"Common name of the claim certificate, where many devices share one; the serial when left out, which is safer"`
		From   *time.Time `json:"from,omitempty" doc:"Now when left out"`
		Until  time.Time  `json:"until" doc:"At most 180 days ahead"`
	}
}

type claimableOutput struct {
	Body struct {
		Serial string     `json:"serial"`
		Batch  string     `json:"batch"`
		From   time.Time  `json:"from"`
		Until  time.Time  `json:"until"`
		UsedAt *time.Time `json:"used_at,omitempty" doc:"When it was claimed"`
	}
}

type renewCertificateInput struct {
	Body struct {
		Device      string `json:"device" maxLength:"64" doc:"UID; the common name of the request too" example:"bp-0017"`
		CSR         string `json:"csr" maxLength:"16384" doc:"A certificate signing request in PEM, best of a new key"`
		Secret      string `json:"secret,omitempty" maxLength:"256" writeOnly:"true" doc:"The MQTT password"`
		Certificate string `json:"certificate,omitempty" maxLength:"65536" doc:"Or the certificate that it has, PEM"`
		Signature   []byte `json:"signature,omitempty" maxLength:"2048" doc:"With it: the signature of its key over the DER of the request, with SHA-256 (Ed25519: plainly), base64"`
	}
}

type claimInput struct {
	Body struct {
		Serial      string `json:"serial" minLength:"1" maxLength:"200" doc:"The common name of the request too"`
		CSR         string `json:"csr" maxLength:"16384" doc:"A certificate signing request in PEM, of a key that the device has made"`
		Certificate string `json:"certificate" maxLength:"65536" doc:"The maker's claim certificate, PEM"`
		Signature   []byte `json:"signature" maxLength:"2048" doc:"Of the claim certificate's key over the DER of the request, with SHA-256 (Ed25519: plainly), base64"`
	}
}

func (s *Server) addCertificates() {
	const of, one = "/v1/devices/{uid}/certificates", "/v1/devices/{uid}/claim"
	ending := op(http.MethodGet, "/v1/certificates/ending", "list-ending-certificates", tagDevices, "Devices whose last client certificate ends soon, or has ended")
	add(s, ending, func(ctx context.Context, actor account.Actor, in *endingCertificatesInput) (*certificatesOutput, error) {
		list, err := s.Certificates.Ending(ctx, actor, time.Duration(in.Within)*24*time.Hour)
		return certificatesOf(list), err
	})
	add(s, op(http.MethodGet, of, "list-certificates", tagDevices, "A device's client certificates, the newest first", http.StatusNotFound),
		func(ctx context.Context, actor account.Actor, in *deviceInput) (*certificatesOutput, error) {
			list, err := s.Certificates.Of(ctx, actor, in.UID)
			return certificatesOf(list), err
		})
	add(s, created(op(http.MethodPost, of, "add-certificate", tagDevices, "Give a device a client certificate, signed by Hale or by somebody else", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict)), s.addCertificate)
	revoke := op(http.MethodDelete, of+"/{fingerprint}", "revoke-certificate", tagDevices, "Make a client certificate worthless at once", http.StatusNotFound)
	revoke.Description = "With it ends all that was renewed from it: whoever has its key may have renewed it."
	add(s, revoke, s.revokeCertificate)

	add(s, op(http.MethodGet, "/v1/authorities", "list-authorities", tagDevices, "Authorities whose certificates devices may show"),
		func(ctx context.Context, actor account.Actor, _ *struct{}) (*authoritiesOutput, error) {
			list, err := s.Certificates.Trusted(ctx, actor)
			out := &authoritiesOutput{}
			out.Body.Authorities = make([]authorityBody, len(list))
			for i, a := range list {
				out.Body.Authorities[i] = authorityOf(a)
			}
			return out, err
		})
	trust := created(op(http.MethodPost, "/v1/authorities", "trust-authority", tagDevices, "Trust a maker's certificate authority", http.StatusBadRequest, http.StatusConflict))
	trust.Description = "Several may be in force at once, while a maker changes from one to the next. For connecting, a certificate must be written down for its device besides."
	add(s, trust, s.trust)
	add(s, op(http.MethodDelete, "/v1/authorities/{id}", "revoke-authority", tagDevices, "Make everything that an authority signed worthless, at once and for good", http.StatusNotFound),
		func(ctx context.Context, actor account.Actor, in *authorityInput) (*struct{}, error) {
			return nil, s.Certificates.Distrust(ctx, actor, vital.UID(in.ID))
		})

	add(s, op(http.MethodGet, one, "get-claim", tagDevices, "Whether a device may be claimed with a maker's certificate", http.StatusNotFound), s.claimable)
	add(s, op(http.MethodPut, one, "allow-claim", tagDevices, "Let a device be claimed once with a maker's certificate", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict), s.allowClaim)
	add(s, op(http.MethodDelete, one, "end-claim", tagDevices, "Take that back", http.StatusNotFound),
		func(ctx context.Context, actor account.Actor, in *deviceInput) (*struct{}, error) {
			return nil, s.Certificates.EndClaim(ctx, actor, in.UID)
		})

	renew := public(created(op(http.MethodPost, "/v1/renew", "renew-certificate", tagDevices, "A device asks for its next client certificate", http.StatusBadRequest, http.StatusConflict, http.StatusTooManyRequests)))
	renew.Description = "The device shows its secret, or the certificate that it has while that is good. The one before stays good until its end. Asked again for the same key it is the same certificate."
	add(s, renew, s.renew)
	claim := public(created(op(http.MethodPost, "/v1/claim", "claim-device", tagDevices, "A device asks for its first client certificate with its maker's", http.StatusBadRequest, http.StatusConflict, http.StatusTooManyRequests)))
	claim.Description = "Once, while the device desk says so. Asked again for the same key it is the same certificate."
	add(s, claim, s.claim)
}

func (s *Server) addCertificate(ctx context.Context, actor account.Actor, in *addCertificateInput) (*madeOutput, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return nil, err
	}
	var made *x509.Certificate
	var err error
	switch {
	case (in.Body.CSR == "") == (in.Body.Certificate == ""):
		return nil, fault.New(fault.Invalid, "send either a csr, which Hale signs, or a certificate that somebody else has signed")
	case in.Body.CSR != "":
		made, err = s.Certificates.Sign(ctx, actor, in.UID, []byte(in.Body.CSR))
	default:
		made, err = s.Certificates.Keep(ctx, actor, in.UID, []byte(in.Body.Certificate))
	}
	if err != nil {
		return nil, err
	}
	return madeOf(in.UID, made), nil
}

func (s *Server) revokeCertificate(ctx context.Context, actor account.Actor, in *revokeCertificateInput) (*struct{}, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(in.Fingerprint)
	if err != nil || len(raw) != len(devices.Fingerprint{}) {
		return nil, fault.New(fault.NotFound, "the device has no such certificate; its fingerprint has 64 hexadecimal digits")
	}
	if in.Alone {
		return nil, s.Certificates.RevokeAlone(ctx, actor, in.UID, devices.Fingerprint(raw))
	}
	return nil, s.Certificates.Revoke(ctx, actor, in.UID, devices.Fingerprint(raw))
}

func (s *Server) trust(ctx context.Context, actor account.Actor, in *trustInput) (*authorityOutput, error) {
	n := credential.NewAuthority{Kind: devices.AuthorityKind(in.Body.Kind), Name: in.Body.Name, PEM: []byte(in.Body.Certificate)}
	if in.Body.From != nil {
		n.From = *in.Body.From
	}
	if in.Body.Until != nil {
		n.Until = *in.Body.Until
	}
	a, err := s.Certificates.Trust(ctx, actor, n)
	if err != nil {
		return nil, err
	}
	return &authorityOutput{authorityOf(a)}, nil
}

func (s *Server) claimable(ctx context.Context, actor account.Actor, in *deviceInput) (*claimableOutput, error) {
	c, err := s.Certificates.Claimable(ctx, actor, in.UID)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fault.New(fault.NotFound, "the device is not to be claimed")
	}
	out := &claimableOutput{}
	out.Body.Serial, out.Body.Batch, out.Body.From, out.Body.Until, out.Body.UsedAt = c.Serial, c.Batch, c.From, c.Until, at(c.UsedAt)
	return out, nil
}

func (s *Server) allowClaim(ctx context.Context, actor account.Actor, in *claimableInput) (*struct{}, error) {
	c := credential.Claimable{Serial: in.Body.Serial, Batch: in.Body.Batch, Until: in.Body.Until}
	if in.Body.From != nil {
		c.From = *in.Body.From
	}
	return nil, s.Certificates.MakeClaimable(ctx, actor, in.UID, c)
}

func (s *Server) renew(ctx context.Context, _ account.Actor, in *renewCertificateInput) (*madeOutput, error) {
	b := &in.Body
	made, err := s.Certificates.Renew(ctx, credential.Asking{Name: b.Device, Request: []byte(b.CSR), Secret: b.Secret, Chain: []byte(b.Certificate), Signature: b.Signature, From: session.From(ctx)})
	if err != nil {
		return nil, err
	}
	return madeOf(b.Device, made), nil
}

func (s *Server) claim(ctx context.Context, _ account.Actor, in *claimInput) (*madeOutput, error) {
	b := &in.Body
	got, err := s.Certificates.Claim(ctx, credential.Asking{Name: b.Serial, Request: []byte(b.CSR), Chain: []byte(b.Certificate), Signature: b.Signature, From: session.From(ctx)})
	if err != nil {
		return nil, err
	}
	return madeOf(got.Device, got.Certificate), nil
}
