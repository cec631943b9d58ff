package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"path"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/fault"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// asset is a file that pages load, ready to be sent.
type asset struct {
	kind   string // media type
	plain  []byte
	packed []byte // gzip; nil where that would not be smaller
}

// assets are all files below static/. Their paths carry a stamp of the content, so that a browser may keep them for as
// long as it likes and never mixes the scripts of two versions.
type assets struct {
	stamp string
	files map[string]asset
}

// loadAssets reads and packs the embedded files. They are part of the binary: that one cannot be read is a broken
// build, and ends the start.
func loadAssets() *assets {
	a := &assets{files: map[string]asset{}}
	sum := sha256.New()
	err := fs.WalkDir(staticFiles, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "static/")
		sum.Write([]byte(name))
		sum.Write(plain)
		a.files[name] = asset{kind: mediaType(name), plain: plain, packed: pack(plain)}
		return nil
	})
	if err != nil {
		panic("web: the embedded files cannot be read: " + err.Error())
	}
	a.stamp = hex.EncodeToString(sum.Sum(nil)[:6])
	return a
}

// mediaType returns the type of a file by its ending. The ones that matter are written here, since the system's table
// may say anything.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".LICENSE":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return fiber.MIMEOctetStream
}

func pack(plain []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := z.Write(plain); err != nil {
		return nil
	}
	if err := z.Close(); err != nil || b.Len() >= len(plain) {
		return nil
	}
	return b.Bytes()
}

// path returns where the named file is served.
func (a *assets) path(name string) string { return "/static/" + a.stamp + "/" + name }

// static answers GET /static/{stamp}/{name}.
func (w *Web) static(c *fiber.Ctx) error {
	stamp, name := c.Params("stamp"), c.Params("*")
	file, ok := w.assets.files[name]
	if !ok {
		return fault.New(fault.NotFound, "there is no such file")
	}
	keep := "no-cache" // a page of another version asks for a file of its own: it gets this one, and keeps it not
	if stamp == w.assets.stamp {
		keep = "public, max-age=31536000, immutable"
	}
	return w.send(c, file, keep)
}

// favicon answers GET /favicon.ico, which browsers ask for by themselves.
func (w *Web) favicon(c *fiber.Ctx) error {
	return w.send(c, w.assets.files["icon.svg"], "public, max-age=86400")
}

func (w *Web) send(c *fiber.Ctx, file asset, keep string) error {
	c.Set(fiber.HeaderContentType, file.kind)
	c.Set(fiber.HeaderCacheControl, keep)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Vary(fiber.HeaderAcceptEncoding)
	if file.packed != nil && strings.Contains(c.Get(fiber.HeaderAcceptEncoding), "gzip") {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		return c.Send(file.packed)
	}
	return c.Send(file.plain)
}
