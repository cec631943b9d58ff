package api

import (
	"embed"

	"github.com/gofiber/fiber/v2"
)

// pages is the docs page. It reads /openapi.json in the browser and loads nothing from elsewhere.
//
//go:embed page
var pages embed.FS

func (s *Server) addDocs() {
	for path, file := range map[string]struct{ name, kind string }{
		"/docs":          {"page/docs.html", fiber.MIMETextHTMLCharsetUTF8},
		"/docs/docs.js":  {"page/docs.js", fiber.MIMETextJavaScriptCharsetUTF8},
		"/docs/docs.css": {"page/docs.css", "text/css; charset=utf-8"},
	} {
		s.app.Get(path, func(c *fiber.Ctx) error {
			b, err := pages.ReadFile(file.name)
			if err != nil {
				return err
			}
			c.Set(fiber.HeaderContentType, file.kind)
			return c.Send(b)
		})
	}
}
