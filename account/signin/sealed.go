package signin

// Seal encrypts a secret of another part of Hale; what it is for must be said again to open it.
func (k *Key) Seal(plain []byte, purpose string) []byte { return k.seal(plain, purpose) }

// Open decrypts what Seal made for the same purpose; fault.Internal when it is of another key or purpose, or was changed.
func (k *Key) Open(sealed []byte, purpose string) ([]byte, error) { return k.open(sealed, purpose) }
