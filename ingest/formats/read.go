package formats

import (
	"strings"

	"hale/fault"
)

// Read reads a payload in a format that is named in one text: "gatt:2A35" (any of Characteristics), "omh" (data points),
// "omh:blood-pressure:4.0" (bodies), "fhir", "withings" or "gateway". Another name is fault.Invalid.
func Read(format string, src []byte) (Message, error) {
	kind, rest, more := strings.Cut(format, ":")
	switch {
	case kind == "gatt" && rest != "":
		return GATT(rest, src), nil
	case kind == "gatt":
		return Message{}, fault.New(fault.Invalid, "say which characteristic, for example gatt:2A35")
	case kind == "omh" && more:
		s, err := ParseSchema(rest)
		if err != nil {
			return Message{}, err
		}
		return OpenMHealth(src, s), nil
	case format == "omh":
		return OpenMHealth(src, Schema{}), nil
	case format == "fhir":
		return FHIR(src), nil
	case format == "withings":
		return Withings(src), nil
	case format == "gateway":
		return Gateway(src), nil
	}
	return Message{}, fault.New(fault.Invalid, "format %.40q is not known; it is gatt:2A35, omh, omh:blood-pressure:4.0, fhir, withings or gateway", format)
}
