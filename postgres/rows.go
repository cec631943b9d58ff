package postgres

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"hale/vital"
)

// readingColumns are the columns of reading in the order in which rows are copied.
const readingColumns = `sensor_id, metric, sent_at, tie, org_id, patient_id, assignment_id, device_id, id, measured_at, received_at,
value, value2, value3, mantissa, mantissa2, mantissa3, exponent, exponent2, exponent3, unit, unit2, unit3, findings, has_sequence`

const readingColumnCount = 25

// row is a reading with what is stored and judged of it, computed once.
type row struct {
	*vital.Reading
	id     int64
	values []float64
}

func rowsOf(readings []*vital.Reading) []row {
	rows := make([]row, len(readings))
	values := make([]float64, 0, 3*len(readings)) // of all rows: never grown, so that they share it
	for i, r := range readings {
		from := len(values)
		values = r.AppendValues(values)
		rows[i] = row{Reading: r, id: r.ID(), values: values[from:len(values):len(values)]}
	}
	return rows
}

// copyRows appends rows in PostgreSQL's binary COPY format (documentation, "COPY: Binary Format"). Encoding by hand costs
// a tenth of what the generic row source does, and this is the hottest path of the house.
func copyRows(b []byte, rows []row) []byte {
	b = slices.Grow(b, 19+len(rows)*280+2)
	b = append(b, "PGCOPY\n\xff\r\n\x00"...)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, 0)
	for _, r := range rows {
		b = binary.BigEndian.AppendUint16(b, readingColumnCount)
		b = appendInt8(b, int64(r.Sensor))
		b = appendInt2(b, int16(r.Metric))
		b = appendTime(b, r.SentAt)
		b = appendInt8(b, r.Tie)
		b = appendInt4(b, int32(r.Org))
		b = appendInt8(b, int64(r.Patient))
		b = appendInt8(b, int64(r.Assignment))
		b = appendInt8(b, int64(r.Device))
		b = appendInt8(b, r.id)
		b = appendTime(b, r.MeasuredAt)
		b = appendTime(b, r.ReceivedAt)
		for i := range 3 {
			if i < len(r.values) {
				b = binary.BigEndian.AppendUint32(b, 8)
				b = binary.BigEndian.AppendUint64(b, math.Float64bits(r.values[i]))
			} else {
				b = appendNull(b)
			}
		}
		for i := range 3 {
			if i < int(r.N) {
				b = appendInt8(b, r.Sent[i].Mantissa)
			} else {
				b = appendNull(b)
			}
		}
		for i := range 3 {
			if i < int(r.N) {
				b = appendInt2(b, int16(r.Sent[i].Exponent))
			} else {
				b = appendNull(b)
			}
		}
		for i := range 3 {
			if i < int(r.N) {
				b = appendInt2(b, int16(r.Sent[i].Unit))
			} else {
				b = appendNull(b)
			}
		}
		b = appendInt4(b, int32(r.Findings))
		b = binary.BigEndian.AppendUint32(b, 1)
		if r.HasSequence {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return binary.BigEndian.AppendUint16(b, 0xffff)
}

func appendInt8(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(v))
}

func appendInt4(b []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(v))
}

func appendInt2(b []byte, v int16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(b, 2), uint16(v))
}

func appendNull(b []byte) []byte { return append(b, 0xff, 0xff, 0xff, 0xff) }

func appendTime(b []byte, t time.Time) []byte {
	const postgresEpoch = 946_684_800_000_000 // 2000-01-01 UTC in microseconds since 1970
	return appendInt8(b, t.UnixMicro()-postgresEpoch)
}

// byKey is the order of the primary key: neighbours land on neighbouring pages.
func byKey(a, b *vital.Reading) int {
	return cmp.Or(cmp.Compare(a.Sensor, b.Sensor), cmp.Compare(a.Metric, b.Metric), a.SentAt.Compare(b.SentAt), cmp.Compare(a.Tie, b.Tie))
}

// month returns the first instant of the month of UTC that t lies in.
func month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
