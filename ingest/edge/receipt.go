package edge

import "encoding/json"

// receipt is the payload on a device's receipts topic: docs/wire.md.
type receipt struct {
	Topic    string           `json:"topic"`
	Accepted int              `json:"accepted"`
	Refused  []receiptRefusal `json:"refused"`
}

type receiptRefusal struct {
	Index  int    `json:"index"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// appendReceipt appends, with mu held, the receipt of a message, when the device listens and there is something it
// wants to know. A receipt has QoS 0: who does not read loses it.
func (s *session) appendReceipt(e *entry) {
	r := e.receipt
	if !s.subscribed.wants(Receipts) || (len(r.Refused) == 0 && !r.Wanted) {
		return
	}
	if s.behind() > maxReceiptsBehind {
		s.server.metrics.receipts.WithLabelValues("dropped").Inc()
		return
	}
	told := receipt{Topic: e.topic, Accepted: r.Accepted, Refused: make([]receiptRefusal, len(r.Refused))}
	for i, refusal := range r.Refused {
		told.Refused[i] = receiptRefusal{Index: refusal.Index, Reason: string(refusal.Reason), Detail: refusal.Detail}
	}
	payload, err := json.Marshal(told)
	if err != nil { // strings and integers always marshal
		return
	}
	s.write(func(out []byte) []byte { return appendPublish(out, downTopic(s.uid, Receipts), payload) })
	s.server.metrics.receipts.WithLabelValues("sent").Inc()
}

// deliver sends a message down and reports whether the device listens for it and reads what it is sent.
func (s *session) deliver(kind Kind, payload []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != "" || !s.subscribed.wants(kind) || s.behind() > maxReceiptsBehind {
		return false
	}
	s.write(func(out []byte) []byte { return appendPublish(out, downTopic(s.uid, kind), payload) })
	s.startFlush()
	return true
}
