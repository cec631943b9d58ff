package vital

// Internal ids are small integers that never leave the house; what leaves it is a UID.
type (
	// OrgID is an organisation: the outermost border that no row crosses.
	OrgID int32
	// PatientID is a person being watched over. Zero means: not known.
	PatientID int64
	// DeviceID is something that connects and has credentials of its own.
	DeviceID int64
	// SensorID is the part that measures: of the device itself, or one that a gateway speaks for.
	SensorID int64
	// AssignmentID is the period in which a sensor belongs to one patient.
	AssignmentID int64
)

// UID is an identifier at an outside boundary: a UUID version 7 in its canonical text form.
type UID string
