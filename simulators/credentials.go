package simulators

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ReadCredentials reads a credentials file: one JSON object of device to secret. A missing file is empty.
func ReadCredentials(path string) (map[string]string, error) {
	secrets := map[string]string{}
	b, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if errors.Is(err, os.ErrNotExist) {
		return secrets, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read device credentials: %w", err)
	}
	if err := json.Unmarshal(b, &secrets); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object of device to secret: %w", path, err)
	}
	return secrets, nil
}

// WriteCredentials writes a credentials file that only its owner can read, whole or not at all.
func WriteCredentials(path string, secrets map[string]string) error {
	b, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return fmt.Errorf("write device credentials: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".credentials-*")
	if err != nil {
		return fmt.Errorf("write device credentials: %w", err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write device credentials: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}
