package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"hale/devices"
	"hale/vital"
)

// asked reads the CONNECT of a connection and returns its session, or nil when there is none: the device has then been
// told why, where MQTT has an answer for it.
func (s *Server) asked(ctx context.Context, a *arrival) *session {
	// Nobody is waited for who has not said who they are.
	stop := context.AfterFunc(ctx, func() { _ = a.conn.Close() })
	defer stop()

	if err := a.conn.SetDeadline(time.Now().Add(s.limits.ConnectWithin)); err != nil {
		return nil
	}
	conn, ok := s.secure(a)
	if !ok {
		return nil
	}
	in := newInflow(conn, func() error { return nil })
	in.pool = &s.inflows
	defer in.park()
	c, err := readConnect(in)
	if err != nil {
		s.count(a, "none")
		s.log.Debug("no CONNECT", "error", err)
		return nil
	}
	name := ""
	device, proof, code := (*devices.Device)(nil), (*devices.Proof)(nil), codeAccepted
	if s.canary.admits(c, conn.RemoteAddr()) {
		name, device = s.canary.cfg.Name, s.canary.device
	} else {
		device, proof, code = s.authenticate(c, shownOn(conn))
	}
	if code == codeCredentials && !s.holdBack(ctx, a.from) {
		s.count(a, "throttled")
		return nil
	}
	s.count(a, strconv.Itoa(int(code)))
	if code != codeAccepted {
		s.refuse(conn, code)
		return nil
	}
	one := &session{
		server: s, conn: conn, socket: a.conn, in: in, uid: c.clientID, canary: name, will: c.will,
		keepAlive: time.Duration(c.keepAlive) * time.Second * 3 / 2, // section 3.1.2.10
	}
	one.changed.L = &one.mu
	one.shown, one.proof, one.bySecret = devices.HashSecret(c.password), proof, proof == nil || len(c.password) > 0
	one.device.Store(device)
	in.arm = one.arm
	return one
}

// secure speaks TLS where the listener does. It runs off the accept loop, within the time for CONNECT.
func (s *Server) secure(a *arrival) (net.Conn, bool) {
	if a.tls == nil {
		return a.conn, true
	}
	conn := tls.Server(a.conn, a.tls)
	if err := conn.Handshake(); err != nil { //nolint:noctx // the deadline bounds it, and ctx closes the connection
		s.count(a, "tls")
		s.log.Debug("no TLS", "error", err)
		return nil, false
	}
	return conn, true
}

func (s *Server) count(a *arrival, code string) {
	s.metrics.connects.WithLabelValues(a.door, code).Inc()
}

// readConnect reads the first packet of a connection, which must be a CONNECT.
func readConnect(in *inflow) (connect, error) {
	first, err := in.peek(1)
	if err != nil {
		return connect{}, err
	}
	if packetType(first[0]>>4) != typeConnect {
		return connect{}, violation("first packet is not CONNECT")
	}
	h, err := readHeader(in)
	if err != nil {
		return connect{}, err
	}
	if h.length > maxControl {
		return connect{}, violation("CONNECT is longer than the limit")
	}
	body, err := in.body(h.length)
	if err != nil {
		return connect{}, err
	}
	return decodeConnect(body)
}

// authenticate says who connects, or the code to refuse with. While the registry cannot be reached a wrong secret may
// be one that was changed a moment ago: the answer is then "not available", since devices give up on the other codes.
func (s *Server) authenticate(c connect, chain []*x509.Certificate) (*devices.Device, *devices.Proof, connackCode) {
	if c.protocol != "MQTT" || c.level != 4 {
		return nil, nil, codeProtocol
	}
	certified := len(chain) > 0
	noUser := !c.hasUser || certified && c.user == ""        // some clients send an empty one
	if c.clientID == "" || !noUser && c.user != c.clientID { // an empty one is for a server that gives names [MQTT-3.1.3-8]
		return nil, nil, codeIdentifier
	}
	if certified {
		proof, code := s.certified(c, chain)
		if code != codeAccepted {
			return nil, nil, code
		}
		return proof.Device, proof, code
	}
	snapshot, reachable := s.cfg.Snapshot()
	if snapshot != nil && c.hasUser {
		if d := snapshot.Devices[c.user]; d != nil && d.Secret(c.password, s.now()) {
			return d, nil, codeAccepted
		}
	}
	if snapshot == nil || !reachable {
		return nil, nil, codeUnavailable
	}
	return nil, nil, codeCredentials
}

// holdBack delays the answer to a wrong secret. It returns false when there is to be no answer.
func (s *Server) holdBack(ctx context.Context, from netip.Prefix) bool {
	delay, ok := s.throttle.strike(from, s.now())
	if !ok {
		return false
	}
	defer s.throttle.release(from)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(delay):
		return true
	}
}

// refuse answers with a code and closes. What the device has sent behind its CONNECT is read and dropped: closing over
// unread bytes resets the connection, and the answer could be lost.
func (s *Server) refuse(conn net.Conn, code connackCode) {
	const linger, mostDropped = time.Second, 64 << 10
	deadline := time.Now().Add(linger)
	if conn.SetDeadline(deadline) != nil {
		return
	}
	if _, err := conn.Write(appendConnack(nil, code)); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, conn, mostDropped) // however it ends, the connection closes
	}
}

// welcome makes the session the device's only one and answers its CONNECT. It returns false when the server stops.
func (s *Server) welcome(one *session) bool {
	if snapshot, _ := s.cfg.Snapshot(); snapshot != nil {
		s.observe(snapshot.Epoch)
	}
	if !s.register(one) {
		return false
	}
	epoch := one.epoch.Load()
	if one.canary == "" {
		s.tell(word{Kind: wordClaim, Claim: []presence{{one.uid, epoch}}})
	}
	s.log.Info("device connected", "device", one.uid, "epoch", epoch)
	one.note(vital.StatusCame, epoch)
	if d := one.device.Load(); s.cfg.Renewed != nil && one.canary == "" && d.Renews(one.shown) {
		s.cfg.Renewed(d, one.shown)
	}
	one.answer(func(out []byte) []byte { return appendConnack(out, codeAccepted) })
	// The snapshot may have changed between the look at the secret and the entry in sessions, which recheck walks.
	if snapshot, _ := s.cfg.Snapshot(); snapshot != nil {
		one.renew(snapshot)
	}
	return true
}

// register enters the session and ends the one that the device had before.
func (s *Server) register(one *session) bool {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return false
	}
	one.epoch.Store(s.nextEpochLocked())
	one.since = s.now()
	s.noteEnd(one)
	if one.canary == "" {
		one.pace = s.paces.hold(one.uid)
	}
	before := s.sessions[one.uid]
	s.sessions[one.uid] = one
	s.live[one] = struct{}{}
	s.mu.Unlock()
	if before != nil {
		before.outlive()
	}
	return true
}

// outlive ends a session whose device has connected again. Its will is of an older epoch and is not told.
func (s *session) outlive() {
	s.outlived.Store(true)
	s.end(causeSuperseded)
}

// forget removes a session that has ended, unless the device has another by now.
func (s *Server) forget(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, one)
	if one.pace != nil {
		s.paces.release(one.pace)
	}
	if s.sessions[one.uid] == one {
		delete(s.sessions, one.uid)
	}
}
