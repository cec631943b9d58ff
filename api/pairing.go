package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"hale/account"
	"hale/api/session"
	"hale/devices/credential"
)

type pairInput struct {
	Body struct {
		Code string `json:"code" minLength:"1" maxLength:"64" writeOnly:"true" example:"K7W2-9XQ4-M0ST" doc:"From the device desk. Case, spaces and dashes do not matter"`
	}
}

type topicsBody struct {
	Readings string `json:"readings" example:"hale/v1/bp-0017/readings"`
	Status   string `json:"status" example:"hale/v1/bp-0017/status"`
	Receipts string `json:"receipts" example:"hale/v1/bp-0017/receipts" doc:"Down"`
	Commands string `json:"commands" example:"hale/v1/bp-0017/commands" doc:"Down"`
}

type pairOutput struct {
	Body struct {
		UID    string     `json:"uid" example:"bp-0017" doc:"MQTT client id, user name, and first level of the topics"`
		Secret string     `json:"secret" doc:"The MQTT password. It is shown this once; keep it before you use it"`
		MQTTS  []string   `json:"mqtts" example:"[\"mqtts://hale.example.org:8883\"]" doc:"Where to connect, with TLS; use these if there are any"`
		MQTT   []string   `json:"mqtt" doc:"The same without TLS, for tests"`
		CA     string     `json:"ca" doc:"The certificates to trust, all of them, in PEM; empty: the authorities that are known to everybody"`
		Topics topicsBody `json:"topics"`
	}
}

type pairingBody struct {
	State     credential.PairingState `json:"state" enum:"waiting,paired,expired,tried too often,replaced"`
	CreatedAt time.Time               `json:"created_at"`
	ExpiresAt time.Time               `json:"expires_at"`
	PairedAt  *time.Time              `json:"paired_at,omitempty"`
	Attempts  int                     `json:"attempts" doc:"Codes that were tried under its first four signs; after five it is dead"`
}

type codeOutput struct {
	Body struct {
		Code      string    `json:"code" example:"K7W2-9XQ4-M0ST" doc:"It exists nowhere else"`
		Address   string    `json:"address" example:"https://hale.example.org/pair#K7W29XQ4M0ST" doc:"For the QR code. Opening it uses nothing up"`
		ExpiresAt time.Time `json:"expires_at"`
	}
}

type credentialsOutput struct {
	Body struct {
		UID      string       `json:"uid" example:"bp-0017"`
		Revoked  bool         `json:"revoked"`
		MadeAt   time.Time    `json:"secret_made_at" doc:"The newest secret"`
		OldUntil *time.Time   `json:"old_until,omitempty" doc:"Until when an older secret is good beside it; left out: none is"`
		Pairing  *pairingBody `json:"pairing,omitempty" doc:"The newest pairing code; left out: there was none"`
	}
}

type renewSecretInput struct {
	UID  string `path:"uid" maxLength:"64"`
	Body struct {
		OverlapHours int `json:"overlap_hours,omitempty" minimum:"1" maximum:"720" doc:"How long the old secret stays good at most; 168 (a week) when left out"`
	}
}

type renewSecretOutput struct {
	Body struct {
		UID      string    `json:"uid" example:"bp-0017"`
		Secret   string    `json:"secret" doc:"The new MQTT password. It is shown this once"`
		OldUntil time.Time `json:"old_until" doc:"The old one ends then, or when the device first shows the new one"`
	}
}

func (s *Server) addPairing() {
	pair := public(op(http.MethodPost, "/v1/pair", "pair", tagDevices, "Get a device's secret for a pairing code", http.StatusTooManyRequests))
	pair.Description = "Sent by the device itself, without a session. A code works once, within a quarter of an hour, and dies after five attempts; whatever is wrong with it, the answer is the same. " +
		"The device's older secrets are good no more."
	add(s, pair, s.pair)
	code := created(op(http.MethodPost, "/v1/devices/{uid}/pairing", "make-pairing-code", tagDevices, "Make a code with which a device gets its secret", http.StatusBadRequest, http.StatusNotFound, http.StatusConflict))
	code.Description = "One that the device had is good no more. Its secret stays good until the code is used."
	add(s, code, s.makePairingCode)
	add(s, op(http.MethodGet, "/v1/devices/{uid}/credentials", "get-credentials", tagDevices, "How a device proves who it is, and how its pairing stands", http.StatusNotFound), s.credentials)
	renew := created(op(http.MethodPost, "/v1/devices/{uid}/secret", "renew-secret", tagDevices, "Make a new secret for a device; the old one stays good for a while", http.StatusNotFound, http.StatusConflict))
	renew.Description = "Both are good until the device first shows the new one, or the overlap is over. A secret that was made so before and never used is good no more."
	add(s, renew, s.renewSecret)
	add(s, op(http.MethodDelete, "/v1/devices/{uid}/secret/old", "end-old-secret", tagDevices, "End a device's old secret now", http.StatusNotFound, http.StatusConflict), s.endOldSecret)
}

// hostOf is the name by which this Hale was asked, without a port; "" when that is none of its own.
func hostOf(ctx context.Context) string {
	address, err := session.Address(ctx)
	if err != nil {
		return ""
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (s *Server) pair(ctx context.Context, _ account.Actor, in *pairInput) (*pairOutput, error) {
	ways, err := s.Ways(hostOf(ctx)) // before the code is used up
	if err != nil {
		return nil, err
	}
	got, err := s.Credentials.Pair(ctx, session.From(ctx), in.Body.Code)
	if err != nil {
		return nil, err
	}
	out := &pairOutput{}
	out.Body.UID, out.Body.Secret, out.Body.Topics = got.UID, got.Secret, topicsBody(credential.TopicsOf(got.UID))
	out.Body.MQTTS, out.Body.MQTT, out.Body.CA = orEmpty(ways.MQTTS), orEmpty(ways.MQTT), ways.CA
	return out, nil
}

// pairingAddress returns what the QR code of a pairing code holds. The code stands behind the #: browsers send that to nobody.
func pairingAddress(address, code string) string {
	return address + credential.PairingPage + "#" + strings.ReplaceAll(code, "-", "")
}

func (s *Server) makePairingCode(ctx context.Context, actor account.Actor, in *deviceInput) (*codeOutput, error) {
	address, err := session.Address(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.Ways(hostOf(ctx)); err != nil {
		return nil, err
	}
	made, err := s.Credentials.MakeCode(ctx, actor, in.UID)
	if err != nil {
		return nil, err
	}
	out := &codeOutput{}
	out.Body.Code, out.Body.Address, out.Body.ExpiresAt = made.Code, pairingAddress(address, made.Code), made.ExpiresAt
	return out, nil
}

func (s *Server) credentials(ctx context.Context, actor account.Actor, in *deviceInput) (*credentialsOutput, error) {
	stands, err := s.Credentials.Standing(ctx, actor, in.UID)
	if err != nil {
		return nil, err
	}
	out := &credentialsOutput{}
	out.Body.UID, out.Body.Revoked, out.Body.MadeAt, out.Body.OldUntil = stands.UID, stands.Revoked, stands.MadeAt, at(stands.OldUntil)
	if c := stands.Pairing; c != nil {
		out.Body.Pairing = &pairingBody{State: c.State(s.Now()), CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt, PairedAt: at(c.UsedAt), Attempts: c.Attempts}
	}
	return out, nil
}

func (s *Server) renewSecret(ctx context.Context, actor account.Actor, in *renewSecretInput) (*renewSecretOutput, error) {
	got, err := s.Credentials.Renew(ctx, actor, in.UID, time.Duration(in.Body.OverlapHours)*time.Hour)
	if err != nil {
		return nil, err
	}
	out := &renewSecretOutput{}
	out.Body.UID, out.Body.Secret, out.Body.OldUntil = got.UID, got.Secret, got.OldUntil
	return out, nil
}

func (s *Server) endOldSecret(ctx context.Context, actor account.Actor, in *deviceInput) (*struct{}, error) {
	return nil, s.Credentials.DropOld(ctx, actor, in.UID)
}

type brokerAuthInput struct {
	Body struct {
		_        struct{} `additionalProperties:"true"` // a broker may be told to send more
		ClientID string   `json:"clientid,omitempty" example:"bp-0017"`
		Username string   `json:"username,omitempty" example:"bp-0017"`
		Password string   `json:"password,omitempty" writeOnly:"true"`
		Peerhost string   `json:"peerhost,omitempty" example:"192.0.2.7" doc:"From where the device comes: whoever guesses from there has to wait. Best sent"`
	}
}

type brokerAuthOutput struct {
	Body struct {
		Result    string `json:"result" enum:"allow,deny"`
		Superuser bool   `json:"is_superuser" doc:"Always false"`
	}
}

type brokerAccessInput struct {
	Body struct {
		_        struct{} `additionalProperties:"true"`
		Username string   `json:"username,omitempty" example:"bp-0017"`
		Topic    string   `json:"topic,omitempty" example:"hale/v1/bp-0017/readings"`
		Action   string   `json:"action,omitempty" example:"publish" doc:"publish or subscribe"`
	}
}

type brokerAccessOutput struct {
	Body struct {
		Result string `json:"result" enum:"allow,deny"`
	}
}

// addBroker adds what a broker of a site asks before it lets a device in, in the shapes of EMQX 5. It needs an API key that may
// "check devices for a broker". What it cannot understand it denies: an error would make EMQX ask elsewhere.
func (s *Server) addBroker() {
	auth := op(http.MethodPost, "/v1/broker/auth", "check-device", tagDevices, "May a broker let this device in (HTTP authentication of EMQX 5)")
	auth.Description = "A device is let in under its own name as user and client id, with its secret."
	add(s, auth, s.brokerAuth)
	add(s, op(http.MethodPost, "/v1/broker/acl", "check-topic", tagDevices, "May a device use this topic at a broker (HTTP authorisation of EMQX 5)"), s.brokerAccess)
}

func (s *Server) brokerAuth(ctx context.Context, actor account.Actor, in *brokerAuthInput) (*brokerAuthOutput, error) {
	from, _ := netip.ParseAddr(in.Body.Peerhost) // what is no address is not known
	good, err := s.Credentials.Admit(ctx, actor, credential.Login{ClientID: in.Body.ClientID, User: in.Body.Username, Password: in.Body.Password, From: from})
	if err != nil {
		return nil, err
	}
	out := &brokerAuthOutput{}
	out.Body.Result = allowed(good)
	return out, nil
}

func (s *Server) brokerAccess(ctx context.Context, actor account.Actor, in *brokerAccessInput) (*brokerAccessOutput, error) {
	good, err := s.Credentials.MayUse(ctx, actor, in.Body.Username, credential.Use(in.Body.Action), in.Body.Topic)
	if err != nil {
		return nil, err
	}
	out := &brokerAccessOutput{}
	out.Body.Result = allowed(good)
	return out, nil
}

func allowed(good bool) string {
	if good {
		return "allow"
	}
	return "deny"
}
