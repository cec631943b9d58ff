// Package audit seals the audit trail: its rows into a hash chain per organisation, with signed checkpoints, and verifies an export
// of it without a database.
package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"hale/fault"
	"hale/vital"
)

// The domains of the hashes and signatures: bytes of one kind must never pass for another. A change of what is hashed is
// a new number; the verifier then knows both.
const (
	domainGenesis    = "hale audit genesis 1"
	domainSubject    = "hale audit subject 1"
	domainLink       = "hale audit link 1"
	domainCheckpoint = "hale audit checkpoint 1"

	// Of an act of a patient, or of somebody close to one, the name goes behind the salt too.
	domainPersonalSubject = "hale audit subject 2"
	domainPersonalLink    = "hale audit link 2"
)

// Hash is a SHA-256 hash; its text is hexadecimal.
type Hash [sha256.Size]byte

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits; anything else is fault.Invalid.
func (h *Hash) UnmarshalText(text []byte) error { return readHex(h[:], text) }

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// HexBytes are bytes whose text is hexadecimal: a salt, a key, a signature.
type HexBytes []byte

// MarshalText writes the bytes in hexadecimal.
func (b HexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

// UnmarshalText reads lower-case hexadecimal digits; anything else is fault.Invalid.
func (b *HexBytes) UnmarshalText(text []byte) error {
	*b = make(HexBytes, hex.DecodedLen(len(text)))
	return readHex(*b, text)
}

func readHex(to, text []byte) error {
	if len(text) != hex.EncodedLen(len(to)) {
		return fault.New(fault.Invalid, "%d hexadecimal digits where %d belong", len(text), hex.EncodedLen(len(to)))
	}
	_, err := hex.Decode(to, text)
	return fault.Wrap(fault.Invalid, err, "not hexadecimal")
}

// Row is a row of the audit trail as it is sealed and exported.
type Row struct {
	ID      int64           `json:"id"` // in the record; grows with the time of writing, with gaps
	At      time.Time       `json:"at"` // UTC, to the microsecond
	Actor   int64           `json:"actor,omitempty"`
	Name    string          `json:"name"`
	Role    string          `json:"role,omitempty"`
	Session string          `json:"session,omitempty"`
	Action  string          `json:"action"`
	Salt    HexBytes        `json:"salt,omitempty"` // makes the hash of the three below unguessable
	Patient vital.PatientID `json:"patient,omitempty"`
	Object  string          `json:"object,omitempty"`
	Detail  string          `json:"detail,omitempty"`

	// Of a row that an erasure has blanked: the hash of what it was about, and the blanking that accounts for it.
	Subject *Hash  `json:"subject,omitempty"`
	Blanked string `json:"blanked,omitempty"`
}

// personal reports whether the row tells of an act of somebody who can be erased.
func (r *Row) personal() bool {
	return r.Role == "patient" || r.Role == "caregiver" || r.Role == "guardian"
}

// subject is the salted hash that stands in the link for whom and what the row is about: when these and the salt are
// erased, the hash tells nothing about them and the chain still holds.
func (r *Row) subject() Hash {
	if r.Subject != nil {
		return *r.Subject
	}
	domain := domainSubject
	if r.personal() {
		domain = domainPersonalSubject
	}
	w := newWriter(domain)
	w.bytes(r.Salt)
	w.int(int64(r.Patient))
	w.text(r.Object)
	w.text(r.Detail)
	if r.personal() {
		w.text(r.Name)
	}
	return w.sum()
}

// Link returns the hash of a row as the seq-th of its chain, after the row whose hash is before.
func Link(before Hash, seq int64, r *Row) Hash {
	domain := domainLink
	if r.personal() {
		domain = domainPersonalLink
	}
	w := newWriter(domain)
	w.bytes(before[:])
	w.int(seq)
	w.int(r.ID)
	w.int(r.At.UnixMicro())
	w.int(r.Actor)
	if !r.personal() {
		w.text(r.Name)
	}
	w.text(r.Role)
	w.text(r.Session)
	w.text(r.Action)
	subject := r.subject()
	w.bytes(subject[:])
	return w.sum()
}

// Genesis is what the first row of an organisation's chain follows. It keeps the rows of one organisation from being
// shown as another's.
func Genesis(org vital.UID) Hash {
	w := newWriter(domainGenesis)
	w.text(string(org))
	return w.sum()
}

// Checkpoint is a signature under a chain up to one of its rows, and so under all rows before it. Checkpoints of a chain
// are numbered from 1 without a gap.
type Checkpoint struct {
	Number    int64     `json:"number"`
	Seq       int64     `json:"seq"`
	Hash      Hash      `json:"hash"`
	At        time.Time `json:"at"` // UTC, to the microsecond
	Key       HexBytes  `json:"key"`
	Signature HexBytes  `json:"signature"`
}

// Sign returns the signed checkpoint of an organisation's chain.
func (c Checkpoint) Sign(org vital.UID, key ed25519.PrivateKey) Checkpoint {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return c // cannot be: an ed25519 key has an ed25519 public half
	}
	c.Key = HexBytes(public)
	c.Signature = ed25519.Sign(key, c.message(org))
	return c
}

// Signed reports whether the checkpoint's signature is by the key that it names.
func (c Checkpoint) Signed(org vital.UID) bool {
	return len(c.Key) == ed25519.PublicKeySize && ed25519.Verify(ed25519.PublicKey(c.Key), c.message(org), c.Signature)
}

func (c Checkpoint) message(org vital.UID) []byte {
	w := newWriter(domainCheckpoint)
	w.text(string(org))
	w.int(c.Number)
	w.int(c.Seq)
	w.bytes(c.Hash[:])
	w.int(c.At.UnixMicro())
	w.bytes(c.Key)
	return w.buf.Bytes()
}

// ChainHead is where an organisation's chain stands.
type ChainHead struct {
	Org      vital.OrgID
	UID      vital.UID // of the organisation
	Seq      int64     // of the last sealed row; 0 when there is none
	Hash     Hash      // of it; Genesis when there is none
	Number   int64     // of the last checkpoint; 0 when there is none
	Signed   int64     // Seq of it
	SignedAt time.Time // of it
}

// Sealing is what comes next in a chain.
type Sealing struct {
	Links      []Hash      // of the rows, in their order
	Checkpoint *Checkpoint // nil: not yet
}

// How often a chain is signed while it grows: a checkpoint takes some 200 bytes, a link in between is bound by the next.
const (
	signEvery = time.Minute
	signRows  = 10_000
)

// Seal chains the rows after the head, and signs where the chain was not signed for a minute or for 10,000 rows. Without
// a key nothing is signed.
func Seal(head ChainHead, rows []Row, key ed25519.PrivateKey, now time.Time) Sealing {
	s := Sealing{Links: make([]Hash, len(rows))}
	last := head.Hash
	for i := range rows {
		last = Link(last, head.Seq+int64(i)+1, &rows[i])
		s.Links[i] = last
	}
	seq := head.Seq + int64(len(rows))
	if key == nil || seq == head.Signed || now.Sub(head.SignedAt) < signEvery && seq-head.Signed < signRows {
		return s
	}
	c := Checkpoint{Number: head.Number + 1, Seq: seq, Hash: last, At: now.UTC().Truncate(time.Microsecond)}.Sign(head.UID, key)
	s.Checkpoint = &c
	return s
}

// writer makes bytes that can be read in one way only: each field stands behind its length.
type writer struct{ buf bytes.Buffer }

func newWriter(domain string) *writer {
	w := &writer{}
	w.text(domain)
	return w
}

func (w *writer) bytes(b []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(b)))
	w.buf.Write(length[:])
	w.buf.Write(b)
}

func (w *writer) text(s string) { w.bytes([]byte(s)) }

func (w *writer) int(n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n)) // the bits of n, whatever its sign
	w.bytes(b[:])
}

func (w *writer) sum() Hash { return sha256.Sum256(w.buf.Bytes()) }
