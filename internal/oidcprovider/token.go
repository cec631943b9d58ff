package oidcprovider

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Token is a token before it is signed.
type Token struct {
	Header map[string]any
	Claims map[string]any
	sign   func(text []byte) []byte // nil: with the provider's key
}

// Unsigned takes the signature away ("alg": "none").
func (t *Token) Unsigned() {
	t.Header["alg"] = "none"
	t.sign = func([]byte) []byte { return nil }
}

// SignedWith signs with a secret (HS256) instead of the provider's key.
func (t *Token) SignedWith(secret []byte) {
	t.Header["alg"] = "HS256"
	t.sign = func(text []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write(text)
		return mac.Sum(nil)
	}
}

// Forged signs with a key of somebody else, under the name of the provider's.
func (t *Token) Forged() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // there is no randomness
	}
	t.sign = func(text []byte) []byte { return rs256(key, text) }
}

// PublicKey returns the provider's key as everybody can have it, in the form in which it is mistaken for a secret.
func (p *Provider) PublicKey() []byte { return x509.MarshalPKCS1PublicKey(&p.key.PublicKey) }

func rs256(key *rsa.PrivateKey, text []byte) []byte {
	sum := sha256.Sum256(text)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err) // the key is our own
	}
	return signature
}

// twisted returns a token of fosite's as the test wants it.
func (p *Provider) twisted(raw string) string {
	parts := strings.Split(raw, ".")
	t := &Token{Header: map[string]any{}, Claims: map[string]any{}}
	for i, into := range []*map[string]any{&t.Header, &t.Claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			panic(err) // fosite has made it
		}
	}
	p.Twist(t)
	return p.signed(t)
}

func (p *Provider) signed(t *Token) string {
	text := part(t.Header) + "." + part(t.Claims)
	if t.sign == nil {
		return text + "." + base64.RawURLEncoding.EncodeToString(rs256(p.key, []byte(text)))
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(t.sign([]byte(text)))
}

func part(of map[string]any) string {
	b, err := json.Marshal(of)
	if err != nil {
		panic(err) // it came from JSON
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// LogoutToken returns a logout token about a person's sitting (OpenID Connect Back-Channel Logout 1.0, section 2.4), after
// change had its way with it, which may be nil. An empty subject or sitting is left out.
func (p *Provider) LogoutToken(subject, sitting string, change func(*Token)) string {
	var name [8]byte
	rand.Read(name[:])
	now := time.Now()
	t := &Token{
		Header: map[string]any{"alg": "RS256", "typ": "logout+jwt", "kid": keyID},
		Claims: map[string]any{
			"iss": p.Issuer, "aud": Client, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": hex.EncodeToString(name[:]),
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		},
	}
	if subject != "" {
		t.Claims["sub"] = subject
	}
	if sitting != "" {
		t.Claims["sid"] = sitting
	}
	if change != nil {
		change(t)
	}
	return p.signed(t)
}
