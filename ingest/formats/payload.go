package formats

import (
	"fmt"
	"time"

	"hale/vital"
)

// payload reads the bytes of a characteristic from left to right, little end first (Bluetooth Core, volume 3, part G). What it
// cannot read it notes once, with the byte; after that it reads zeros.
type payload struct {
	src   []byte
	at    int
	no    *Refusal
	ended bool // a field was asked for that is not there
}

// wrong notes a refusal at a byte, unless there is one already.
func (p *payload) wrong(at int, reason vital.Reason, field, format string, args ...any) {
	if p.no == nil {
		p.no = refuse(reason, field, "byte %d: %s", at, fmt.Sprintf(format, args...))
	}
}

// whole reports whether all that was asked for so far was there: behind a time that cannot be, numbers are where they belong.
func (p *payload) whole() bool { return !p.ended && (p.no == nil || p.no.Reason == vital.ReasonClock) }

// fact notes what was read of the payload beside the numbers; of what is not there nothing was said.
func (p *payload) fact(d *Draft, name, format string, args ...any) {
	if p.whole() {
		d.fact(name, format, args...)
	}
}

// take returns the next n bytes.
func (p *payload) take(n int, field string) []byte {
	if !p.whole() {
		return make([]byte, n)
	}
	if left := len(p.src) - p.at; left < n {
		p.ended = true
		p.wrong(p.at, vital.ReasonUnparsable, field, "the payload ends here; %d of %d bytes are missing", n-left, n)
		return make([]byte, n)
	}
	p.at += n
	return p.src[p.at-n : p.at]
}

func (p *payload) uint8(field string) uint8 { return p.take(1, field)[0] }

func (p *payload) uint16(field string) uint16 {
	b := p.take(2, field)
	return uint16(b[0]) | uint16(b[1])<<8
}

func (p *payload) uint24(field string) uint32 {
	b := p.take(3, field)
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
}

// flags takes the octet that says which fields follow. A bit that the standard keeps for later may move them all, so that
// nothing behind it can be read.
func (p *payload) flags(known uint8) uint8 {
	f := p.uint8("flags")
	if more := f &^ known; more != 0 {
		p.wrong(p.at-1, vital.ReasonUnparsable, "flags", "0x%02x has reserved bits set (0x%02x): which fields follow is not known", f, more)
	}
	return f
}

// end notes what stands behind the last field.
func (p *payload) end() {
	if p.no == nil && p.at < len(p.src) {
		p.wrong(p.at, vital.ReasonUnparsable, "", "%d bytes follow the end of the measurement", len(p.src)-p.at)
	}
}

// special is what a device sends in place of a number (ISO/IEEE 11073-20601; the words are those of FHIR's data-absent-reason).
type special string

// The specials; none is an ordinary number.
const (
	none     special = ""
	nan      special = "not-a-number"
	nres     special = "error (not at this resolution)"
	reserved special = "error (a reserved value)"
	above    special = "positive-infinity"
	below    special = "negative-infinity"
	invalid  special = "error (a special value with an exponent)"
)

func (s special) beyond() vital.Beyond {
	switch s { //nolint:exhaustive // the others tell no side
	case above:
		return vital.Above
	case below:
		return vital.Below
	}
	return 0
}

// amount is a number of a device or what it sent in its place, and the byte at which it stands.
type amount struct {
	vital.Quantity
	special special
	at      int
}

// missing refuses a measurement because it has no number.
func (a amount) missing(field string) *Refusal {
	no := refuse(vital.ReasonNotANumber, field, "byte %d: the device sent %s in place of a number", a.at, a.special)
	no.Beyond = a.special.beyond()
	return no
}

// text returns the number with its unit, or what stands in its place.
func (a amount) text() string {
	if a.special != none {
		return string(a.special)
	}
	return words(a.Quantity)
}

func words(q vital.Quantity) string {
	if q.Unit == vital.NoUnit {
		return q.String()
	}
	return q.String() + " " + q.Unit.UCUM()
}

// sfloat takes a 16-bit float: a mantissa of 12 bits and an exponent of 4, both with sign. Its exponent is the precision that
// the device claims, and is kept.
func (p *payload) sfloat(field string, u vital.Unit) amount {
	at := p.at
	m, e, s := sfloat(p.uint16(field))
	return amount{vital.Quantity{Mantissa: m, Exponent: e, Unit: u}, s, at}
}

// sfloat splits the word of an SFLOAT. The special values are exact words; with an exponent they are nothing that the standard
// knows, and are refused [our decision, clinical/formats.md section 2].
func sfloat(word uint16) (mantissa int64, exponent int8, s special) {
	switch word {
	case 0x07ff:
		return 0, 0, nan
	case 0x0800:
		return 0, 0, nres
	case 0x07fe:
		return 0, 0, above
	case 0x0802:
		return 0, 0, below
	case 0x0801:
		return 0, 0, reserved
	}
	if m := word & 0x0fff; m >= 0x07fe && m <= 0x0802 {
		return 0, 0, invalid
	}
	return int64(int16(word<<4) >> 4), int8(int16(word) >> 12), none
}

// float takes a 32-bit float: a mantissa of 24 bits and an exponent of 8, both with sign.
func (p *payload) float(field string, u vital.Unit) amount {
	at := p.at
	b := p.take(4, field)
	m, e, s := float(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
	return amount{vital.Quantity{Mantissa: m, Exponent: e, Unit: u}, s, at}
}

// largestExponent is how large the exponent of a number may be, either way, as for the numbers of JSON: no sensor measures more.
const largestExponent = 30

// float splits the word of a FLOAT.
func float(word uint32) (mantissa int64, exponent int8, s special) {
	switch word {
	case 0x007fffff:
		return 0, 0, nan
	case 0x00800000:
		return 0, 0, nres
	case 0x007ffffe:
		return 0, 0, above
	case 0x00800002:
		return 0, 0, below
	case 0x00800001:
		return 0, 0, reserved
	}
	exponent = int8(word >> 24)
	if m := word & 0x00ffffff; m >= 0x007ffffe && m <= 0x00800002 || exponent > largestExponent || exponent < -largestExponent {
		return 0, 0, invalid
	}
	return int64(int32(word<<8) >> 8), exponent, none
}

// dateTime takes the characteristic Date Time (0x2A08): the device's own clock, without zone. Where its year, month or day is 0
// the device does not know it, and so not when it measured.
func (p *payload) dateTime() Time {
	at := p.at
	year, month, day := int(p.uint16("time")), int(p.uint8("time")), int(p.uint8("time"))
	hour, minute, second := int(p.uint8("time")), int(p.uint8("time")), int(p.uint8("time"))
	if p.no != nil {
		return Time{}
	}
	unknown := year == 0 || month == 0 || day == 0
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	possible := unknown || year <= 9999 && t.Year() == year && int(t.Month()) == month && t.Day() == day
	if month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59 || !possible {
		p.wrong(at, vital.ReasonClock, "time", "there is no %04d-%02d-%02d %02d:%02d:%02d; set the device's clock", year, month, day, hour, minute, second)
		return Time{}
	}
	if unknown {
		return Time{}
	}
	return Time{At: t, Local: true, Field: "time"}
}
