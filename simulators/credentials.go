package simulators

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// largestCredentials is what is read of a credentials file, in bytes: a device needs some 90.
const largestCredentials = 128 << 20

// ReadCredentials reads a credentials file: one JSON object of device to secret. A missing file is empty; anything but a
// file, which might never end, is an error.
func ReadCredentials(path string) (map[string]string, error) {
	secrets := map[string]string{}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return secrets, nil
	case err != nil:
		return nil, fmt.Errorf("read device credentials: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("device credentials are kept in a file, and %s is none", path)
	case info.Size() > largestCredentials:
		return nil, fmt.Errorf("%s has %d bytes: that is no file of device credentials", path, info.Size())
	}
	b, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("read device credentials: %w", err)
	}
	if err := json.Unmarshal(b, &secrets); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object of device to secret: %w", path, err)
	}
	return secrets, nil
}

// openCredentials reads a credentials file and writes it once, as it is. A device's secret is shown once, so that it cannot
// be written down must be known before the first is made: nobody could speak for that device ever again.
func openCredentials(path string) (map[string]string, error) {
	secrets, err := ReadCredentials(path)
	if err == nil {
		err = WriteCredentials(path, secrets)
	}
	return secrets, err
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
