package main

import (
	"time"

	"hale/authority"
	"hale/devices/credential"
	"hale/fault"
	"hale/ingest/edge"
)

// deviceAuthorityName is the directory, within that of the data, of the authority that signs devices' certificates.
const deviceAuthorityName = "device-authority"

// paceFlags say how much devices, and whoever else connects to the device edge, may ask of it.
type paceFlags struct {
	DeviceMessages  int `name:"device-messages-per-second" help:"Messages a second of one device that are read, on and on; fifty times as many at once after a rest. More waits, and is not lost." default:"1000" placeholder:"N" env:"HALE_DEVICE_MESSAGES_PER_SECOND"`
	DeviceBytes     int `name:"device-bytes-per-second" help:"The same in bytes; sixteen times as many at once." default:"4194304" placeholder:"N" env:"HALE_DEVICE_BYTES_PER_SECOND"`
	AddressConnects int `name:"address-connects-per-second" help:"Connections a second of one address that the device edge asks who they are; the others wait." default:"1000" placeholder:"N" env:"HALE_ADDRESS_CONNECTS_PER_SECOND"`
	AddressUnknown  int `name:"address-unknown-connections" help:"Connections of one address at once that have not said yet who they are." default:"512" placeholder:"N" env:"HALE_ADDRESS_UNKNOWN_CONNECTIONS"`
}

func (f paceFlags) checkPace() error {
	for name, n := range map[string]int{
		"--device-messages-per-second": f.DeviceMessages, "--device-bytes-per-second": f.DeviceBytes,
		"--address-connects-per-second": f.AddressConnects, "--address-unknown-connections": f.AddressUnknown,
	} {
		if n < 1 {
			return fault.New(fault.Invalid, "%s: say 1 or more", name)
		}
	}
	return nil
}

// limits are those of the device edge; what is zero in the flags has the edge's default.
func (f paceFlags) limits(connections int) edge.Limits {
	const messagesAtOnce, bytesAtOnce = 50, 16 // seconds
	return edge.Limits{
		Connections:             connections,
		DeviceMessagesPerSecond: f.DeviceMessages, DeviceMessagesAtOnce: messagesAtOnce * f.DeviceMessages,
		DeviceBytesPerSecond: f.DeviceBytes, DeviceBytesAtOnce: bytesAtOnce * f.DeviceBytes,
		AddressConnectsPerSecond: f.AddressConnects, AddressHandshakes: f.AddressUnknown,
	}
}

// deviceSigner opens the authority that signs devices' certificates; nil without a directory.
func deviceSigner(p *program, dir string) (credential.Signer, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // no authority is an answer here
	}
	d, err := authority.OpenDevices(authority.DevicesConfig{Dir: dir, Now: time.Now, Log: p.log})
	if err != nil {
		return nil, err // not d: a nil *Devices in an interface is not nil
	}
	return d, nil
}

// newCertificates is the desk of certificates.
func (h *house) newCertificates() *credential.Certificates {
	return &credential.Certificates{
		Book: h.app, Authorities: h.app, Claims: h.app, Door: h.app, Signer: h.signer, Now: time.Now, Changed: h.registryChanged,
		Guesses: credential.NewGuesses(),
	}
}
