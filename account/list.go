package account

import "hale/fault"

// ListLength returns how many rows of a list are returned for a limit that somebody asks for: the usual number when it is 0, and fault.Invalid
// when it is not from 1 to most.
func ListLength(limit, usual, most int) (int, error) {
	if limit == 0 {
		return usual, nil
	}
	if limit < 1 || limit > most {
		return 0, fault.New(fault.Invalid, "limit must be between 1 and %d", most)
	}
	return limit, nil
}
