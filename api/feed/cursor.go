package feed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"hale/vital"
)

// cursors writes the ids of events so that nobody can count in their gaps what happens to others: encrypted, under a key that
// lives as long as the process. Whoever comes back with one of another process is told to load anew.
type cursors struct{ block cipher.Block }

func newCursors() cursors {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("a key of 32 bytes is refused: %v", err)) // crypto/aes takes 16, 24 and 32
	}
	return cursors{block: block}
}

// of returns how an event's id is told in an organisation.
func (c cursors) of(org vital.OrgID, id int64) string {
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[:8], uint64(id))
	binary.BigEndian.PutUint64(b[8:], uint64(org))
	c.block.Encrypt(b[:], b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// read returns the id that of was given; ok is false for whatever it did not make for this organisation.
func (c cursors) read(org vital.OrgID, text string) (id int64, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != aes.BlockSize {
		return 0, false
	}
	c.block.Decrypt(b, b)
	id = int64(binary.BigEndian.Uint64(b[:8]))
	return id, id >= 0 && binary.BigEndian.Uint64(b[8:]) == uint64(org)
}
