package edge

import (
	"context"
	"net"
	"time"
)

// The labels of the listeners.
const (
	doorPlain = "plain"
	doorTLS   = "tls"
)

// arrive takes a connection that was just accepted. It does not wait for anything.
func (s *Server) arrive(ctx context.Context, l Listener, conn net.Conn) {
	a := &arrival{conn: conn, tls: l.TLS, door: doorPlain, since: s.now()}
	if l.TLS != nil {
		a.door = doorTLS
	}
	s.metrics.connections.WithLabelValues(a.door).Inc()
	direct := !trusts(l.Proxies, conn.RemoteAddr())
	if direct {
		a.from = origin(conn.RemoteAddr())
	}
	if s.open.Add(1) > int64(s.limits.Connections) && !s.porch.yield(a.from) {
		s.turnAway(a, "full")
		return
	}
	if direct {
		s.porch.arrive(a)
		return
	}
	s.workers.Go(func() {
		if s.introduced(ctx, a) {
			s.porch.arrive(a)
		} else {
			s.turnAway(a, "proxy")
		}
	})
}

// introduced lets a load balancer say for whom it speaks.
func (s *Server) introduced(ctx context.Context, a *arrival) bool {
	defer context.AfterFunc(ctx, func() { _ = a.conn.Close() })()
	if err := a.conn.SetReadDeadline(time.Now().Add(s.limits.ConnectWithin)); err != nil {
		return false
	}
	from, err := spokenFor(a.conn)
	if err != nil {
		s.log.Warn("a load balancer does not say for whom it speaks: it must send the PROXY protocol", "error", err)
		return false
	}
	a.from = origin(from)
	return true
}

// turnAway closes a connection without a word.
func (s *Server) turnAway(a *arrival, why string) {
	s.count(a, why)
	s.gone(a)
}

// gone closes what is left of a connection.
func (s *Server) gone(a *arrival) {
	_ = a.conn.Close()
	s.open.Add(-1)
	s.metrics.connections.WithLabelValues(a.door).Dec()
}

// greet asks a connection who it is and starts its session. The session has a goroutine of its own: the one of the
// handshake has a stack that has grown, above all with TLS, and most sessions are idle.
func (s *Server) greet(ctx context.Context, a *arrival) {
	one := s.asked(ctx, a)
	s.porch.left(a.from)
	if one == nil || !s.welcome(one) {
		s.gone(a)
		return
	}
	s.workers.Go(func() {
		defer s.gone(a)
		one.serve()
	})
}
