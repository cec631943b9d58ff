package session

import (
	"crypto/subtle"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/fault"
)

// changes reports whether the request's method may change something.
func changes(c *fiber.Ctx) bool {
	switch c.Method() {
	case fiber.MethodGet, fiber.MethodHead, fiber.MethodOptions:
		return false
	default:
		return true
	}
}

// sameOrigin refuses a changing request that a page of another origin sends. Browsers name the sender in Origin (and
// the newer ones in Sec-Fetch-Site); programs send neither.
func (k *Keeper) sameOrigin(c *fiber.Ctx) error {
	if !changes(c) {
		return nil
	}
	origin := c.Get(fiber.HeaderOrigin)
	switch {
	case origin != "" && slices.Contains(k.Origins, origin):
		return nil
	case origin != "" && own(origin, arrived(c.UserContext())):
		return nil
	case origin == "" && !slices.Contains([]string{"cross-site", "same-site"}, c.Get("Sec-Fetch-Site")):
		return nil
	}
	return fault.New(fault.Forbidden, "the request comes from a page of another site")
}

// own reports whether an Origin names the host that the request was sent to.
func own(origin string, came arrival) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false // among others "null", the origin of a sandboxed page
	}
	if came.secure && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(u.Host, came.host)
}

// carries reports whether the request carries the session's CSRF value, in the header or in the form that it sends. In the address
// it counts for nothing: that is kept in histories and in the logs of proxies.
func carries(c *fiber.Ctx, want string) bool {
	got := c.Get(CSRFHeader)
	if got == "" {
		got = string(c.Request().PostArgs().Peek(CSRFField))
	}
	if got == "" {
		got = inMultipart(c)
	}
	return want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

func inMultipart(c *fiber.Ctx) string {
	if !strings.HasPrefix(strings.ToLower(c.Get(fiber.HeaderContentType)), fiber.MIMEMultipartForm) {
		return ""
	}
	form, err := c.MultipartForm()
	if err != nil {
		return ""
	}
	if values := form.Value[CSRFField]; len(values) > 0 {
		return values[0]
	}
	return ""
}
