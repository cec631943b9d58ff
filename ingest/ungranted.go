package ingest

import "hale/vital"

// readUngranted reads a message of a sensor that was not granted to the gateway. Nothing of it is taken: each measurement is refused for
// that, with what could be read of it. The gateway has proved who it is, so that an emergency may be one; it is screened as the
// gateway's own, since whose sensor of that name it is, nobody said.
func (d *decoder) readUngranted(to destination) {
	switch to.route {
	case toReadings:
		d.body()
	case toFormat:
		d.formatted(to.format)
	case toStatus, toAnswer:
	}
	if len(d.refused) == 0 {
		d.refuseWhole(d.ungranted)
	}
}

// admit passes the refusal of a reading on, and refuses it also where it is a good one of a sensor that was not granted.
func (d *decoder) admit(no *refusal, r *vital.Reading) *refusal {
	if no != nil || d.ungranted == nil {
		return no
	}
	read := *r
	return &refusal{read: &read}
}
