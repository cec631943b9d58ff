package safe

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"time"

	"hale/fault"
)

// receiptForm names the form of a receipt; another form gets another name. It stands before the signed bytes, so that no
// other signature of the same key passes for one.
const receiptForm = "hale-erasure-receipt-1"

// Receipt is what a person gets in the hand: what was erased, when, and what is kept until when and why. It names nobody.
type Receipt struct {
	Form         string        `json:"form"`
	Organisation string        `json:"organisation"`
	Number       int           `json:"request"`
	AskedAt      time.Time     `json:"asked_at"`
	DecidedAt    time.Time     `json:"decided_at"`
	Erased       []ErasureItem `json:"erased"`
	Kept         []ErasureItem `json:"kept"`
	BackupsUntil time.Time     `json:"backups_until"` // by then the last backup that holds what was erased is gone; a restore before repeats the erasure
	IssuedAt     time.Time     `json:"issued_at"`
}

// signedReceipt is a receipt as it is handed out. Body are the bytes that were signed, as they are.
type signedReceipt struct {
	Body      json.RawMessage `json:"receipt"`
	Key       string          `json:"key,omitempty"`
	Signature string          `json:"signature,omitempty"`
}

// NewReceipt tells what became of a request so far.
func NewReceipt(organisation string, e *Erasure, p Policy, now time.Time) Receipt {
	r := Receipt{
		Form: receiptForm, Organisation: organisation, Number: e.Number, AskedAt: e.AskedAt, DecidedAt: e.DecidedAt,
		Erased: []ErasureItem{}, Kept: []ErasureItem{}, IssuedAt: now.UTC().Truncate(time.Second),
	}
	last := e.CutAt
	for _, i := range e.Items {
		if i.DoneAt.IsZero() {
			r.Kept = append(r.Kept, i)
			continue
		}
		r.Erased = append(r.Erased, ErasureItem{Class: i.Class, DoneAt: i.DoneAt})
		if i.DoneAt.After(last) {
			last = i.DoneAt
		}
	}
	r.BackupsUntil = last.AddDate(0, 0, p.BackupDays)
	return r
}

// Sign writes the receipt with a signature by the key, which is that of the audit trail's checkpoints; without a key it is
// not signed.
func (r Receipt) Sign(key ed25519.PrivateKey) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "write the receipt")
	}
	s := signedReceipt{Body: body}
	if len(key) == ed25519.PrivateKeySize {
		s.Key, s.Signature = hex.EncodeToString(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:]), hex.EncodeToString(ed25519.Sign(key, receiptMessage(body)))
	}
	out, err := json.Marshal(s)
	return out, fault.Wrap(fault.Internal, err, "write the receipt")
}

func receiptMessage(body []byte) []byte { return append([]byte(receiptForm+"\n"), body...) }

// ReadReceipt reads a receipt and checks its signature, with nothing but the file: by the key that is expected, or when that
// is nil by the key in the receipt itself, which is then returned to be compared. A receipt that was changed or signed by
// another key is fault.Conflict; what is no receipt is fault.Invalid.
func ReadReceipt(text []byte, expected ed25519.PublicKey) (Receipt, ed25519.PublicKey, error) {
	var s signedReceipt
	var r Receipt
	if err := json.Unmarshal(bytes.TrimSpace(text), &s); err != nil {
		return r, nil, fault.Wrap(fault.Invalid, err, "this is no receipt")
	}
	if err := json.Unmarshal(s.Body, &r); err != nil || r.Form != receiptForm {
		return r, nil, fault.New(fault.Invalid, "this is no receipt of the form %s", receiptForm)
	}
	key, err := hex.DecodeString(s.Key)
	signature, err2 := hex.DecodeString(s.Signature)
	if err != nil || err2 != nil || len(key) != ed25519.PublicKeySize {
		return r, nil, fault.New(fault.Conflict, "the receipt is not signed")
	}
	if expected != nil && !bytes.Equal(expected, key) {
		return r, key, fault.New(fault.Conflict, "the receipt is signed by key %x, and %x is expected", key, []byte(expected))
	}
	if !ed25519.Verify(key, receiptMessage(s.Body), signature) {
		return r, key, fault.New(fault.Conflict, "the receipt was changed: its signature does not hold")
	}
	return r, key, nil
}
