package account_test

import (
	"testing"
	"time"

	"hale/account"
)

func TestUntilWhenATeamIsAttended(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	in := func(from, to int) account.Membership { // hours from now; a to of 0 is no end
		m := account.Membership{From: now.Add(time.Duration(from) * time.Hour), AtBedside: true}
		if to != 0 {
			m.To = now.Add(time.Duration(to) * time.Hour)
		}
		return m
	}
	researcher := in(-1, 0)
	researcher.AtBedside = false
	hours := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	for name, c := range map[string]struct {
		members []account.Membership
		want    time.Time
	}{
		"nobody":                                  {nil, now},
		"somebody who answers no alerts":          {[]account.Membership{researcher}, now},
		"somebody who stays":                      {[]account.Membership{in(-1, 5), in(-1, 0)}, time.Time{}},
		"the last of two who go":                  {[]account.Membership{in(-1, 5), in(-1, 3)}, hours(5)},
		"one who goes on for another":             {[]account.Membership{in(5, 9), in(-1, 5)}, hours(9)},
		"one who goes on without an end":          {[]account.Membership{in(5, 0), in(-1, 5)}, time.Time{}},
		"one who begins after a gap":              {[]account.Membership{in(6, 0), in(-1, 5)}, hours(5)},
		"one who begins later, and nobody so far": {[]account.Membership{in(1, 0)}, now},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			team := account.Team{Patients: 1, Members: c.members}
			if team.Attend(now); !team.AttendedUntil.Equal(c.want) {
				t.Errorf("until %s, want %s", team.AttendedUntil, c.want)
			}
		})
	}
}
