package edge

import (
	"crypto/sha256"
	"errors"
	"os"

	"hale/ingest"
)

// errDisconnect is how the reader learns of a DISCONNECT.
var errDisconnect = errors.New("the device said goodbye")

// errDeaf is how the reader learns that the device does not read.
var errDeaf = errors.New("the device does not read what it asked for")

// read takes packets until the session ends, and returns why it did.
func (s *session) read() cause {
	for {
		err := s.packet()
		if err == nil {
			continue
		}
		var broken violation
		switch {
		case s.stopped.Load():
			return causeDrain // whoever stopped the reader has named the cause; this one is not used
		case errors.Is(err, errDisconnect):
			return causeDisconnect
		case errors.Is(err, errDeaf):
			return causeDeaf
		case errors.As(err, &broken):
			s.server.log.Warn("connection closed for a breach of the protocol", "device", s.uid, "error", broken)
			return causeProtocol
		case errors.Is(err, os.ErrDeadlineExceeded):
			return causeSilent
		}
		return causeGone
	}
}

// packet reads one packet and acts on it.
func (s *session) packet() error {
	s.midway = false
	s.in.between()
	if _, err := s.in.peek(1); err != nil {
		return err
	}
	s.begin()
	h, err := readHeader(s.in)
	if err != nil {
		return err
	}
	switch h.kind {
	case typePublish:
		return s.publish(h)
	case typePubrel, typePuback, typePubrec, typePubcomp:
		return s.acknowledged(h)
	case typeSubscribe:
		return s.subscribe(h)
	case typeUnsubscribe:
		return s.unsubscribe(h)
	case typePingreq:
		return s.ping(h)
	case typeDisconnect:
		if err := s.empty(h); err != nil {
			return err
		}
		return errDisconnect
	case typeConnect:
		return violation("second CONNECT")
	case typeConnack, typeSuback, typeUnsuback, typePingresp:
		return violation("packet that only a server sends")
	}
	return violation("unknown packet type")
}

// control reads the body of a packet that is not a PUBLISH.
func (s *session) control(h header) ([]byte, error) {
	if h.length > maxControl {
		return nil, violation("control packet is too long")
	}
	return s.in.body(h.length)
}

func (s *session) empty(h header) error {
	body, err := s.control(h)
	if err != nil {
		return err
	}
	return decodeEmpty(body)
}

func (s *session) ping(h header) error {
	if err := s.empty(h); err != nil {
		return err
	}
	return s.reply(appendPingresp)
}

// reply answers a control packet, unless the answers to earlier ones have piled up unread.
func (s *session) reply(build func(out []byte) []byte) error {
	s.mu.Lock()
	behind := s.behind()
	s.mu.Unlock()
	if behind > maxAnswersBehind {
		return errDeaf
	}
	s.answer(build)
	return nil
}

// acknowledged takes the packets of an acknowledgement. A PUBREL is always answered: the message it releases is durable,
// or was in a connection that is gone, and the device may forget it either way. The others belong to what we never send.
func (s *session) acknowledged(h header) error {
	body, err := s.control(h)
	if err != nil {
		return err
	}
	id, err := decodeAck(body)
	if err != nil || h.kind != typePubrel {
		return err
	}
	return s.reply(func(out []byte) []byte { return appendAck(out, typePubcomp, id) })
}

// subscribe grants QoS 0 on the device's own topics and refuses every other filter.
func (s *session) subscribe(h header) error {
	body, err := s.control(h)
	if err != nil {
		return err
	}
	id, filters, err := decodeSubscribe(body)
	if err != nil {
		return err
	}
	begins := false
	err = s.reply(func(out []byte) []byte {
		codes := make([]byte, len(filters))
		for i, f := range filters {
			if slot := s.subscribed.slot(s.uid, f.filter); slot != nil {
				*slot = true
			} else {
				codes[i] = subackFailure
			}
			begins = begins || codes[i] != subackFailure
		}
		begins = begins && s.subscribed.wants(Commands)
		return appendSuback(out, id, codes)
	})
	if begins && err == nil && s.server.cfg.Subscribed != nil {
		s.server.cfg.Subscribed(s.uid)
	}
	return err
}

func (s *session) unsubscribe(h header) error {
	body, err := s.control(h)
	if err != nil {
		return err
	}
	id, filters, err := decodeUnsubscribe(body)
	if err != nil {
		return err
	}
	return s.reply(func(out []byte) []byte {
		for _, f := range filters {
			if slot := s.subscribed.slot(s.uid, f); slot != nil {
				*slot = false
			}
		}
		return appendAck(out, typeUnsuback, id)
	})
}

// publish takes a PUBLISH and puts it into the queue. It waits for room first: while it does, nothing behind this packet
// is read, and everything before it is being answered.
func (s *session) publish(h header) error {
	if h.length > s.server.limits.Drained {
		return violation("PUBLISH is longer than the limit")
	}
	if h.length < 2 {
		return violation("PUBLISH ends within its head")
	}
	length, err := s.in.peek(2)
	if err != nil {
		return err
	}
	n, err := publishHead(h, length)
	if err != nil {
		return err
	}
	if n > 2+maxTopic+2 {
		return violation("topic is longer than the limit")
	}
	head, err := s.in.peek(n)
	if err != nil {
		return err
	}
	p, err := decodePublish(h, head)
	if err != nil {
		return err
	}
	if string(p.topic) != s.topic {
		s.topic = string(p.topic)
	}
	s.in.discard(n)
	return s.take(h, p, n)
}

// take reads the payload of a PUBLISH and puts it into the queue.
func (s *session) take(h header, p publish, headLength int) error {
	payload := h.length - headLength
	oversize := h.length > s.server.limits.Packet
	e := &entry{qos: p.qos, id: p.id, topic: s.topic, cost: messageCost + len(s.topic) + payload}
	if oversize {
		e.cost = messageCost + len(s.topic) + headKept
	}
	if err := s.keepPace(h.length); err != nil {
		return err
	}
	if err := s.room(); err != nil {
		return err
	}
	if payload > inflowBusy {
		release, err := s.large(e.cost)
		if err != nil {
			return err
		}
		defer release()
	} else {
		s.begin() // again, since it was us who kept the device waiting
		if _, err := s.in.peek(payload); err != nil {
			return err
		}
	}
	if err := s.claim(e); err != nil {
		return err
	}
	s.begin() // and again
	var err error
	e.message = ingest.Message{Topic: s.topic}
	if oversize {
		e.message.Payload, e.message.Oversize, err = s.drain(payload)
	} else {
		e.message.Payload, err = s.in.body(payload)
	}
	if err != nil {
		s.withdraw(e)
		return err
	}
	s.server.metrics.received.Add(float64(h.length))
	e.message.Device, e.message.Canary, e.message.ReceivedAt = s.device.Load(), s.canary, s.server.now()
	e.message.Connection = s.epoch.Load()
	s.enqueue(e)
	return nil
}

// drain reads past a payload that is too large to take, and keeps its head, length and hash: closing the connection
// instead would have the device send it again for ever.
func (s *session) drain(length int) ([]byte, *ingest.Oversize, error) {
	head := make([]byte, 0, headKept)
	hash := sha256.New()
	for left := length; left > 0; {
		b, err := s.in.some(left)
		if err != nil {
			return nil, nil, err
		}
		hash.Write(b)
		head = append(head, b[:min(len(b), headKept-len(head))]...)
		left -= len(b)
	}
	o := &ingest.Oversize{Length: int64(length)}
	hash.Sum(o.Hash[:0])
	return head, o, nil
}
