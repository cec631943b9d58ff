package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"hale/api/session"
	"hale/fault"
)

type contextKey int

const requestKey contextKey = iota

// requestOf returns the id of the request, by which a person's complaint is found in the log.
func requestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey).(string)
	return id
}

var requestForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{8,64}$`)

// requestID returns the id that a proxy gave the request, or a new one.
func requestID(c *fiber.Ctx) string {
	if given := c.Get(fiber.HeaderXRequestID); requestForm.MatchString(given) {
		return given
	}
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// secure sets the headers that keep a browser from doing with our pages what we did not mean. Scripts, styles and data
// come from this server only; nothing is kept in a cache unless its own handler says so.
func secure(c *fiber.Ctx) {
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set(fiber.HeaderCacheControl, "no-store")
}

// named reports whether a host is a name that somebody owns: an address cannot promise anything (RFC 6797, section 8.1.1),
// and what is said of localhost would be said of every program on the machine.
func named(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	_, err := netip.ParseAddr(host)
	return err != nil && host != "" && host != "localhost" && !strings.HasSuffix(host, ".localhost")
}

// observe is the outermost middleware: request id, headers, the deadline of the answer, and the request's metrics. An
// error is answered here, so that its status is counted.
func (s *Server) observe() fiber.Handler {
	seen := newRequestMetrics(s.Register, s.Feed.Count)
	return func(c *fiber.Ctx) error {
		began := time.Now()
		id := requestID(c)
		c.Set(fiber.HeaderXRequestID, id)
		secure(c)
		if s.Strict && c.Context().IsTLS() && named(string(c.Request().Host())) {
			c.Set(fiber.HeaderStrictTransportSecurity, "max-age=31536000")
		}
		ctx, cancel := context.WithTimeout(context.WithValue(c.UserContext(), requestKey, id), answerWithin)
		defer cancel()
		c.SetUserContext(ctx)
		if err := c.Next(); err != nil {
			if err := c.App().ErrorHandler(c, err); err != nil {
				return err
			}
		}
		if c.Response().StatusCode() == http.StatusUnauthorized && len(c.Response().Header.Peek(fiber.HeaderWWWAuthenticate)) == 0 {
			c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="hale"`) // RFC 9110, section 11.6.1
		}
		seen.add(c, time.Since(began))
		return nil
	}
}

// recoverPanic turns our own mistake into a 500 for this one request; the others go on.
func (s *Server) recoverPanic(c *fiber.Ctx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.Log.ErrorContext(c.UserContext(), "request handler panicked", "request", requestOf(c.UserContext()), "panic", r, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "")
		}
	}()
	return c.Next()
}

// answerError answers what no operation answered: Fiber's own errors and those of middleware and raw routes.
func (s *Server) answerError(c *fiber.Ctx, err error) error {
	if errors.Is(err, fiber.ErrBadGateway) {
		// Fiber's word for a connection that broke before there was a request, by a client that does not believe our
		// certificate for one: nobody can be answered, and nothing here is to be mended.
		s.Log.Debug("a connection ended before its request")
		return c.SendStatus(fiber.StatusBadGateway)
	}
	p := s.problem(c.UserContext(), c.Method()+" "+c.Route().Path, err)
	if wait, ok := session.RetryAfter(err); ok {
		c.Set(fiber.HeaderRetryAfter, seconds(wait))
	}
	page := s.ErrorPage != nil && !strings.HasPrefix(c.Path(), "/v1/") && strings.Contains(c.Get(fiber.HeaderAccept), fiber.MIMETextHTML)
	if page {
		return s.ErrorPage(c, p.Status, p.Detail)
	}
	return c.Status(p.Status).JSON(p, "application/problem+json")
}

// problem turns an error into the problem that is answered, and logs what is our own or a neighbour's fault, once.
func (s *Server) problem(ctx context.Context, operation string, err error) *huma.ErrorModel {
	status := session.Status(err)
	if status >= http.StatusInternalServerError {
		s.Log.LogAttrs(ctx, slog.LevelError, "request failed",
			slog.String("request", requestOf(ctx)), slog.String("operation", operation),
			slog.String("kind", string(fault.KindOf(err))), slog.Any("error", err))
	}
	p := &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail(err, status)}
	if _, needed := session.CodeNeeded(err); needed {
		p.Type = codeNeeded
	}
	return p
}

// detail is what the caller may read of an error.
func detail(err error, status int) string {
	if fault.KindOf(err) == fault.Internal && status < http.StatusInternalServerError {
		return err.Error() // Fiber's own words: no such route, body too large
	}
	return fault.MessageOf(err)
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// requestMetrics count what was asked, by route and never by person.
type requestMetrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

func newRequestMetrics(register prometheus.Registerer, feeds func() int) *requestMetrics {
	m := &requestMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hale_http_requests_total", Help: "HTTP requests answered.",
		}, []string{"method", "route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hale_http_request_seconds", Help: "Time until a request was answered; of a feed, until it began.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
	}
	if register != nil {
		register.MustRegister(m.requests, m.took, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hale_http_feeds", Help: "Live feeds that are open.",
		}, func() float64 { return float64(feeds()) }))
	}
	return m
}

func (m *requestMetrics) add(c *fiber.Ctx, took time.Duration) {
	route, status := c.Route().Path, c.Response().StatusCode()
	if status == http.StatusNotFound && route == "/" && c.Path() != "/" {
		route = "none"
	}
	m.requests.WithLabelValues(c.Method(), route, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(c.Method(), route).Observe(took.Seconds())
}
