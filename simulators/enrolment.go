package simulators

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// enrolmentsAtOnce bounds how many people are enrolled side by side: the API answers each in a few milliseconds.
const enrolmentsAtOnce = 12

// keyring is the file of device secrets while people are being enrolled. A secret is shown once, so it is written down
// soon; not at once, because the file is written whole.
type keyring struct {
	path string

	mu      sync.Mutex
	secrets map[string]string
	dirty   bool
}

func openKeyring(path string) (*keyring, error) {
	secrets, err := openCredentials(path)
	if err != nil {
		return nil, err
	}
	return &keyring{path: path, secrets: secrets}, nil
}

func (k *keyring) get(device string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.secrets[device]
}

func (k *keyring) put(device, secret string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.secrets[device], k.dirty = secret, true
}

// save writes what is new. Nobody waits for the lock in the meantime for longer than one file takes.
func (k *keyring) save() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.dirty {
		return nil
	}
	k.dirty = false
	return WriteCredentials(k.path, k.secrets)
}

// keep saves every moment until ctx ends.
func (k *keyring) keep(ctx context.Context) error {
	for {
		if err := waitUntil(ctx, time.Now().Add(200*time.Millisecond)); err != nil {
			return nil //nolint:nilerr // the end of ctx is how it is asked to end
		}
		if err := k.save(); err != nil {
			return err
		}
	}
}

// enrol makes every person and device known, those of an earlier run as they are. It returns the patients' ids.
func (f *Fleet) enrol(ctx context.Context, lives []*Life) (ids []string, fresh bool, err error) {
	if f.keys, err = openKeyring(f.Credentials); err != nil {
		return nil, false, err
	}
	ids = make([]string, len(lives))
	saving, stop := context.WithCancel(ctx)
	saved := make(chan error, 1)
	go func() { saved <- f.keys.keep(saving) }()
	var done, made atomic.Int64
	group, inside := errgroup.WithContext(ctx)
	group.SetLimit(enrolmentsAtOnce)
	for i, l := range lives {
		group.Go(func() error {
			if inside.Err() != nil {
				return inside.Err()
			}
			id, n, err := f.enrolOne(inside, l)
			ids[i] = id
			made.Add(int64(n))
			f.progress("enrol", int(done.Add(1)), len(lives))
			return err
		})
	}
	err = group.Wait()
	stop()
	return ids, made.Load() > 0, errors.Join(err, <-saved, f.keys.save())
}

// enrolOne returns the patient's id and how many devices were made.
func (f *Fleet) enrolOne(ctx context.Context, l *Life) (id string, made int, err error) {
	p, err := f.patient(ctx, l)
	if err != nil {
		return "", 0, err
	}
	if err := setOwnLimits(ctx, f.Staff, p.ID, l.Limits); err != nil {
		return "", 0, err
	}
	if err := setDryWeight(ctx, f.Staff, p.ID, l); err != nil {
		return "", 0, err
	}
	for k := range l.Kits {
		kit := &l.Kits[k]
		if f.keys.get(kit.Device) == "" {
			secret, err := f.Staff.EnrolGateway(ctx, kit.Device, kit.Model, kit.Names())
			if isStatus(err, http.StatusConflict) {
				return "", made, fmt.Errorf("%w: an earlier run enrolled it, and its secret is not in %s; use that run's --credentials, or another --seed", err, f.Credentials)
			}
			if err != nil {
				return "", made, err
			}
			f.keys.put(kit.Device, secret)
			made++
		}
		for _, s := range kit.Sensors {
			// A run that was killed in between may have left it undone; one that was not answers with a conflict.
			err := f.Staff.AssignSensor(ctx, kit.Device, s.Name, p.ID, l.known())
			if err != nil && !isStatus(err, http.StatusConflict) {
				return "", made, err
			}
		}
	}
	return p.ID, made, nil
}

// patient adds the person, or finds them when an earlier run did.
func (f *Fleet) patient(ctx context.Context, l *Life) (Person, error) {
	p, err := f.Staff.AddPatient(ctx, Person{Name: l.Name, Number: l.Number, BirthYear: l.BirthYear, Sex: l.Sex, Zone: l.Zone.String()})
	if !isStatus(err, http.StatusConflict) {
		return p, err
	}
	p, known, err := f.Staff.FindPatient(ctx, l.Number)
	if err == nil && !known {
		err = fmt.Errorf("patient %s is known, but cannot be found", l.Number)
	}
	return p, err
}

func isStatus(err error, status int) bool {
	var p *Problem
	return asProblem(err, &p) && p.Status == status
}

// setOwnLimits gives a patient limits of their own, unless they stand already.
func setOwnLimits(ctx context.Context, staff *Staff, patient string, limits map[string]Limits) error {
	if len(limits) == 0 {
		return nil
	}
	rules, err := staff.Rules(ctx, patient)
	if err != nil {
		return err
	}
	newest := map[string]Rule{}
	for _, rule := range rules {
		newest[rule.Metric] = rule
	}
	for metric, l := range limits {
		old := newest[metric]
		if n := len(old.Versions); n > 0 && sameLimits(old.Versions[n-1], l) {
			continue
		}
		if err := staff.SetLimits(ctx, patient, metric, old.Version, l); err != nil {
			return err
		}
	}
	return nil
}

// setDryWeight gives somebody with heart failure the rule that a clinician would set at discharge, unless there is one
// already: somebody who looks may have set another.
func setDryWeight(ctx context.Context, staff *Staff, patient string, l *Life) error {
	dry := l.dryWeight()
	if dry == 0 {
		return nil
	}
	version, _, err := staff.DryWeight(ctx, patient)
	if err != nil || version > 0 {
		return err
	}
	return staff.SetDryWeight(ctx, patient, dry, l.known())
}
