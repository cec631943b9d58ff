package vital

import (
	"errors"
	"math"
	"strconv"
)

// Quantity is a number exactly as the device sent it: Mantissa x 10^Exponent in Unit. 36.80 and 36.8 differ in
// what the device claimed to know, so the trailing zero is kept.
type Quantity struct {
	Mantissa int64
	Exponent int8
	Unit     Unit
}

// ErrNotANumber is returned for text that is no plain finite decimal number.
var ErrNotANumber = errors.New("not a finite decimal number such as 36.8")

// ParseDecimal reads a JSON number ("120", "36.80", "1.2e2") without loss. Numbers of more than 18 significant
// digits or an exponent outside -30..30 are refused: no sensor measures them.
func ParseDecimal(s string) (mantissa int64, exponent int8, err error) {
	i, negative := 0, false
	if i < len(s) && s[i] == '-' {
		negative = true
		i++
	}
	digits, exp, seenDigit, seenPoint := 0, 0, false, false
scan:
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			seenDigit = true
			if mantissa != 0 || c != '0' {
				digits++
			}
			if digits > 18 {
				return 0, 0, ErrNotANumber
			}
			mantissa = mantissa*10 + int64(c-'0')
			if seenPoint {
				exp--
			}
		case c == '.' && seenDigit && !seenPoint:
			seenPoint = true
			if i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9' {
				return 0, 0, ErrNotANumber
			}
		default:
			break scan
		}
	}
	if !seenDigit {
		return 0, 0, ErrNotANumber
	}
	if i < len(s) {
		if s[i] != 'e' && s[i] != 'E' {
			return 0, 0, ErrNotANumber
		}
		e, convErr := strconv.ParseInt(s[i+1:], 10, 16)
		if convErr != nil {
			return 0, 0, ErrNotANumber
		}
		exp += int(e)
	}
	if exp < -30 || exp > 30 {
		return 0, 0, ErrNotANumber
	}
	if negative {
		mantissa = -mantissa
	}
	return mantissa, int8(exp), nil
}

// Float returns the number as the nearest float64.
func (q Quantity) Float() float64 {
	// An integer and a power of ten that float64 holds exactly have a quotient that is rounded once, so correctly.
	if q.Exponent <= 0 && q.Exponent >= -6 && q.Mantissa > -1<<53 && q.Mantissa < 1<<53 {
		return float64(q.Mantissa) / [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6}[-q.Exponent]
	}
	f, err := strconv.ParseFloat(q.String(), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

// String returns the number in the form it was sent, without the unit: "36.80".
func (q Quantity) String() string {
	digits := strconv.FormatInt(q.Mantissa, 10)
	if q.Exponent == 0 {
		return digits
	}
	if q.Exponent > 0 {
		return digits + "e" + strconv.Itoa(int(q.Exponent))
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	places := -int(q.Exponent)
	for len(digits) <= places {
		digits = "0" + digits
	}
	return sign + digits[:len(digits)-places] + "." + digits[len(digits)-places:]
}

// To returns the number in another unit; ok is false when the units are not of one kind.
func (q Quantity) To(u Unit) (value float64, ok bool) { return Convert(q.Float(), q.Unit, u) }
