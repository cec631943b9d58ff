package stream

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"hale/fault"
	"hale/vital"
)

// deleteDenied is the NATS server's code for a stream with DenyDelete, which cannot be taken back.
const deleteDenied = 10057

var errDenied = errors.New("the stream denies deleting")

// Traces are by what a record is known to be of one person.
type Traces struct {
	Patients []vital.PatientID
	Sensors  []vital.SensorID
	Devices  []vital.DeviceID // of what was refused, which names no sensor
}

// holds reports whether the records hold something of the person.
func (t Traces) holds(records []vital.Record) bool {
	return slices.ContainsFunc(records, func(r vital.Record) bool {
		switch {
		case r.Reading != nil:
			return slices.Contains(t.Patients, r.Reading.Patient) && r.Reading.Patient != 0 || slices.Contains(t.Sensors, r.Reading.Sensor)
		case r.Refused != nil:
			return slices.Contains(t.Devices, r.Refused.Device)
		}
		return false
	})
}

// End returns the sequence of the newest message; 0 when there never was one.
func (s *Stream) End(ctx context.Context) (uint64, error) {
	state, err := s.state(ctx)
	return state.LastSeq, err
}

// Erase takes one person out of what is committed: messages up to and including a sequence that hold something of them are
// overwritten on disk, since a block of the store goes as a whole only, and then everything up to there is purged. That
// shortens the repair window once, for everybody. The caller knows that every cursor has passed upTo. Doing it again is a
// success. A replicated stream keeps what was published in the log of its replicas until that is compacted, which the NATS
// server does by itself.
func (s *Stream) Erase(ctx context.Context, upTo uint64, t Traces) error {
	state, err := s.state(ctx)
	if err != nil {
		return err
	}
	upTo = min(upTo, state.LastSeq)
	for seq := state.FirstSeq; seq <= upTo && seq > 0; seq++ {
		err := s.eraseOne(ctx, seq, t)
		if errors.Is(err, errDenied) {
			break // a stream that was made before erasure was: the purge is what can be done
		}
		if err != nil {
			return err
		}
	}
	if upTo < state.FirstSeq {
		return nil
	}
	asking, cancel := s.conn.ask(ctx)
	defer cancel()
	return wrap(s.js.Purge(asking, jetstream.WithPurgeSequence(upTo+1)), "purge stream %s up to %d", s.name, upTo)
}

// eraseOne overwrites a message that holds something of the person. One that cannot be decoded may hold it.
func (s *Stream) eraseOne(ctx context.Context, seq uint64, t Traces) error {
	ctx, cancel := s.conn.ask(ctx)
	defer cancel()
	msg, err := s.js.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return wrap(err, "read message %d", seq)
	}
	records, err := recordsIn(msg.Subject, msg.Data)
	if err == nil && !t.holds(records) {
		return nil
	}
	err = s.js.SecureDeleteMsg(ctx, seq)
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil // the janitor was faster
	case errors.As(err, &refused) && refused.ErrorCode == deleteDenied:
		s.conn.log.Warn("stream denies deleting: what is erased stays in its blocks until these are full and purged", "stream", s.name)
		return errDenied
	}
	return wrap(err, "overwrite message %d", seq)
}

// recordsIn returns what a message holds, of all partitions.
func recordsIn(subject string, data []byte) ([]vital.Record, error) {
	if subject != bundleSubject {
		_, records, err := decode(data)
		return records, err
	}
	var all []vital.Record
	for p := range vital.Partitions {
		envelope, err := openBundle(data, p)
		if err != nil {
			return nil, err
		}
		if envelope == nil {
			continue
		}
		_, records, err := decode(envelope)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	if len(all) == 0 {
		return nil, fault.New(fault.Internal, "a bundle without a record")
	}
	return all, nil
}
