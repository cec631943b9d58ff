// Package webhook sends notices to programs of an organisation's own, signed as Standard Webhooks (version 1.0.0,
// www.standardwebhooks.com) says: one POST for a notice, with webhook-id, webhook-timestamp and webhook-signature.
package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"hale/fault"
	"hale/push"
	"hale/vital"
)

// Sealer keeps secrets: what it is for is said at both ends, so that one that is moved to another row does not open.
type Sealer interface {
	Seal(plain []byte, purpose string) []byte
	Open(sealed []byte, purpose string) ([]byte, error)
}

// Config is what a Client needs.
type Config struct {
	Sealer Sealer // nil: there is no key here; no secret is made and nothing is sent
	// Networks may be sent to besides public addresses. With a network of loopback addresses in it, plain HTTP to those goes too.
	Networks []netip.Prefix
	Roots    *x509.CertPool // authorities of receivers' certificates; nil: those of the machine. Set by tests only.
	Within   time.Duration  // of one try, in all; 0 is 10 s
}

const (
	tryWithin   = 10 * time.Second
	dialWithin  = 5 * time.Second
	mostHeaders = 16 << 10 // bytes of an answer's headers
	mostAnswer  = 4 << 10  // bytes of an answer's body that are read; nothing in it is used
	secretBytes = 32       // Standard Webhooks wants 24 to 64
	secretMark  = "whsec_"
)

// Client checks addresses, makes secrets and sends. It is safe for concurrent use.
type Client struct {
	Config
	http *http.Client
}

// New returns a Client.
func New(c Config) *Client {
	if c.Within == 0 {
		c.Within = tryWithin
	}
	client := &Client{Config: c}
	dialer := &net.Dialer{Timeout: dialWithin, ControlContext: client.control}
	client.http = &http.Client{
		Timeout: c.Within,
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would be asked for the name, and the address could not be looked at
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: mostHeaders,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client
}

// purpose binds a secret to its channel.
func purpose(channel string) string { return "webhook " + channel }

// NewSecret returns a secret as the receiver needs it, and sealed. See push.Endpoints.
func (c *Client) NewSecret(channel vital.UID) (shown string, sealed []byte, err error) {
	if c.Sealer == nil {
		return "", nil, fault.New(fault.Conflict, "this installation has no key to keep secrets under: start Hale with --second-factor-key")
	}
	b := make([]byte, secretBytes)
	rand.Read(b)
	return secretMark + base64.StdEncoding.EncodeToString(b), c.Sealer.Seal(b, purpose(string(channel))), nil
}

// Send posts a parcel. See push.Sender.
func (c *Client) Send(ctx context.Context, p *push.Parcel, now time.Time) push.Answer {
	if c.Sealer == nil {
		return push.Answer{Reason: push.NoKey}
	}
	if c.Check(p.Channel.URL) != nil { // what may be sent to was narrowed since
		return push.Answer{Reason: push.BadAddress}
	}
	body, err := bodyOf(p)
	if err != nil {
		return push.Answer{Reason: push.NoKey}
	}
	signature, err := c.sign(p, now, body)
	if err != nil {
		return push.Answer{Reason: push.NoKey}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Within)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Channel.URL, bytes.NewReader(body))
	if err != nil {
		return push.Answer{Reason: push.BadAddress}
	}
	r.GetBody = nil // a try is sent once: whether it is sent again is the Dispatcher's to say
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "hale")
	r.Header.Set(standardwebhooks.HeaderWebhookID, string(p.UID))
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	answer, err := c.http.Do(r)
	if err != nil {
		return push.Answer{Reason: reasonOf(err)}
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, mostAnswer)) // so that the connection can be used again; the status is the answer
	return answerOf(answer, now)
}

// sign returns the signatures of all secrets that are in force, the newest first.
func (c *Client) sign(p *push.Parcel, now time.Time, body []byte) (string, error) {
	var all []string
	for _, sealed := range p.Channel.Secrets {
		secret, err := c.Sealer.Open(sealed, purpose(string(p.Channel.UID)))
		if err != nil {
			return "", err
		}
		w, err := standardwebhooks.NewWebhookRaw(secret)
		if err != nil {
			return "", fault.Wrap(fault.Internal, err, "read a secret")
		}
		signature, err := w.Sign(string(p.UID), now, body)
		if err != nil {
			return "", fault.Wrap(fault.Internal, err, "sign a notice")
		}
		all = append(all, signature)
	}
	if len(all) == 0 {
		return "", fault.New(fault.Internal, "a channel has no secret")
	}
	return strings.Join(all, " "), nil
}

func answerOf(answer *http.Response, now time.Time) push.Answer {
	a := push.Answer{Status: answer.StatusCode}
	switch {
	case a.Status >= 300 && a.Status < 400:
		a.Reason = push.Redirects
	case a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable:
		a.Wait = waitOf(answer.Header.Get("Retry-After"), now)
	}
	return a
}

// waitOf reads Retry-After (RFC 9110, section 10.2.3): seconds, or a date. What cannot be read asks for nothing.
func waitOf(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// reasonOf says why there was no answer. The error names the address, and goes nowhere.
func reasonOf(err error) push.Reason {
	var timeout net.Error
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.Is(err, errAddress):
		return push.BadAddress
	case errors.As(err, &verification), errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		return push.NotTrusted
	case errors.As(err, &timeout) && timeout.Timeout():
		return push.TimedOut
	}
	return push.Unreachable
}
