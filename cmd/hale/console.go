package main

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"hale/fault"
)

// answers is standard output. A disk that is full under it is no mistake of ours.
type answers struct{ io.Writer }

func (a answers) Write(b []byte) (int, error) {
	n, err := a.Writer.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		return n, errUnread
	}
	return n, fault.Wrap(fault.Unavailable, err, "standard output")
}

// errUnread is that whoever read our standard output has had enough, as `head` has after ten lines: no reason to complain.
var errUnread = errors.New("nobody reads standard output any more")

// minus lets a number with a minus before it be the value of a flag (`--patients -3`), so that the command itself says what
// it takes: kong would take it for another flag, and advise quotes, which do not help.
func minus() kong.Option {
	usual := kong.NewRegistry().RegisterDefaults()
	return kong.OptionFunc(func(k *kong.Kong) error {
		for _, number := range []reflect.Type{reflect.TypeFor[int](), reflect.TypeFor[uint64](), reflect.TypeFor[float64]()} {
			if err := kong.KindMapper(number.Kind(), negative(usual.ForType(number))).Apply(k); err != nil {
				return err
			}
		}
		return nil
	})
}

func negative(usual kong.Mapper) kong.Mapper {
	return kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		text := ctx.Scan.Peek().String()
		if v, err := strconv.ParseFloat(text, 64); err == nil && v < 0 {
			if target.CanUint() {
				return fmt.Errorf("%s is too small: 0 or more", text)
			}
			ctx.Scan.Pop()
			ctx.Scan.PushTyped(text, kong.FlagValueToken)
		}
		return usual.Decode(ctx, target)
	})
}
