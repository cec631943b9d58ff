package vital_test

import (
	"testing"

	"hale/vital"
)

func TestTheServersOwnZoneIsNobodysHome(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Europe/Ljubljana": "Europe/Ljubljana",
		"UTC":              "UTC",
		"":                 "",
		"Local":            "",
		"Europe/Atlantis":  "",
	} {
		zone, err := vital.LoadZone(name)
		if (err == nil) != (want != "") || err == nil && zone.String() != want {
			t.Errorf("%q: %v, %v", name, zone, err)
		}
		if want == "" {
			want = "UTC"
		}
		if got := vital.ZoneOrUTC(name).String(); got != want {
			t.Errorf("%q shows by %s, want %s", name, got, want)
		}
	}
}
