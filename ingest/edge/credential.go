package edge

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"time"

	"hale/devices"
)

// This file is about client certificates: docs/adr/0027. The handshake proves that the other end has the key of the
// certificate that it shows; whether that certificate is worth anything is decided at CONNECT, by the newest snapshot. So an
// authority or a certificate counts, or counts no more, without a restart, and the device is told by a CONNACK.

// asking returns the doors such that those with TLS ask for a client certificate, and take whoever has none.
func asking(doors []Listener) []Listener {
	list := slices.Clone(doors)
	for i := range list {
		if list[i].TLS != nil {
			list[i].TLS = list[i].TLS.Clone()
			list[i].TLS.ClientAuth = tls.RequestClientCert
		}
	}
	return list
}

// shownOn returns the certificates that came with the TLS handshake, the client's own first; none without TLS.
func shownOn(conn net.Conn) []*x509.Certificate {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.ConnectionState().PeerCertificates
	}
	return nil
}

// certified says which device a certificate lets in as the client id says, or the code to refuse with. What a device shows
// must be good, all of it: a password that is sent beside a certificate is looked at too.
func (s *Server) certified(c connect, chain []*x509.Certificate) (*devices.Proof, connackCode) {
	snapshot, reachable := s.cfg.Snapshot()
	if snapshot == nil {
		return nil, codeUnavailable
	}
	now := s.now()
	proof, objection := snapshot.Identify(chain, now)
	s.metrics.certificates.WithLabelValues(outcomeOf(objection)).Inc()
	switch {
	case objection == devices.ObjectionExpired:
		s.doubt(proof, chain, objection)
		return nil, codeCredentials // whatever the registry says by now
	case objection == "" && proof.Device.UID == c.clientID && (len(c.password) == 0 || proof.Device.Secret(c.password, now)):
		return &proof, codeAccepted
	case !reachable:
		return nil, codeUnavailable
	case objection != "":
		s.doubt(proof, chain, objection)
	}
	return nil, codeCredentials
}

func outcomeOf(o devices.Objection) string {
	if o == "" {
		return "good"
	}
	return string(o)
}

// doubt logs why a certificate is refused that names a device of ours: somebody has to be told, since the device itself only
// hears that it is not let in. What names none is not worth a line, which anybody could have written.
func (s *Server) doubt(p devices.Proof, chain []*x509.Certificate, o devices.Objection) {
	if p.Device == nil || o == devices.ObjectionUnknown {
		s.log.Debug("client certificate refused", "objection", string(o))
		return
	}
	s.log.Warn("client certificate refused", "device", p.Device.UID, "objection", string(o),
		"fingerprint", p.Fingerprint.String(), "ends", chain[0].NotAfter.UTC().Format(time.RFC3339))
}

// standing says whether what a session was let in by is still good, by a snapshot in which its device is d: the cause to end
// it otherwise.
func (s *session) standing(snapshot *devices.Snapshot, d *devices.Device) cause {
	now := s.server.now()
	switch {
	case d == nil || d.Revoked:
		return causeRevoked
	case s.proof != nil && !now.Before(s.proof.Until):
		return causeExpired
	case s.proof != nil && !snapshot.Stands(s.proof, now):
		return causeRevoked
	case s.bySecret && !d.Accepts(s.shown, now):
		return causeRevoked
	}
	return ""
}

// noteEnd remembers, with mu held, when the first certificate of those ends that are connected.
func (s *Server) noteEnd(one *session) {
	if one.proof != nil && (s.firstEnd.IsZero() || one.proof.Until.Before(s.firstEnd)) {
		s.firstEnd = one.proof.Until
	}
}

// ended reports whether a certificate has ended since the last time, and finds out which one is the next.
func (s *Server) ended(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firstEnd.IsZero() || now.Before(s.firstEnd) {
		return false
	}
	s.firstEnd = time.Time{}
	for one := range s.live {
		if one.proof != nil && now.Before(one.proof.Until) {
			s.noteEnd(one)
		}
	}
	return true
}
