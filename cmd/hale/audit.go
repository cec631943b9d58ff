package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/account/audit"
	"hale/fault"
)

type auditCommand struct {
	Export auditExportCommand `cmd:"" help:"Write the audit trail of an organisation, with its seals, to a file. That it was exported is written into the trail."`
	Verify auditVerifyCommand `cmd:"" help:"Check an export without a database: every row, every link, every signature. Ends with 1 when it does not hold."`
}

type auditExportCommand struct {
	recordFlags
	organisationFlag
	Out string `help:"File to write; it must not be there yet." required:"" placeholder:"FILE"`
}

// Run writes the export: all of it, or no file.
func (c *auditExportCommand) Run(p *program) error {
	operator, err := c.operator(p)
	if err != nil {
		return err
	}
	file, err := newFile(c.Out)
	if err != nil {
		return err
	}
	err = operator.ExportAudit(p.ctx, c.Organisation, audit.NewExport(file))
	if err := kept(file, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "The audit trail of %s is in %s. Check it with: hale audit verify %s\n", c.Organisation, c.Out, c.Out)
	return err
}

type auditVerifyCommand struct {
	File  string `arg:"" help:"An export." type:"existingfile"`
	Key   string `help:"Public key that must have signed it: the file that Hale wrote beside its audit key, or its 64 hexadecimal digits." placeholder:"KEY"`
	Since string `help:"An earlier export of the same organisation, which this one must continue." placeholder:"FILE" type:"existingfile"`
}

// brokenText tells where and how an export is broken.
const brokenText = "the audit trail is broken at line %d of %s: %s"

// Run prints what the export proves.
func (c *auditVerifyCommand) Run(p *program) error {
	var expected audit.Expected
	var err error
	if c.Key != "" {
		if expected.Key, err = publicKey(c.Key); err != nil {
			return err
		}
	}
	if c.Since != "" {
		before, err := verifyFile(c.Since, expected)
		if err != nil {
			return err
		}
		expected.Seq, expected.Hash = before.Sealed, before.Head
		if expected.Seq == 0 {
			return fault.New(fault.Invalid, "--since %s holds no sealed row", c.Since)
		}
	}
	v, err := verifyFile(c.File, expected)
	if err != nil {
		return err
	}
	return tellVerdict(p.out, v, expected)
}

// verifyFile checks one export; one that is broken is fault.Conflict.
func verifyFile(name string, expected audit.Expected) (audit.Verdict, error) {
	file, err := os.Open(name) //nolint:gosec // the user names the file
	if err != nil {
		return audit.Verdict{}, fault.Wrap(fault.Invalid, err, "%s cannot be read", name)
	}
	v, err := audit.Verify(file, expected)
	err = errors.Join(err, file.Close())
	if err == nil && v.Broken != nil {
		err = fault.New(fault.Conflict, brokenText, v.Broken.Line, name, v.Broken.What)
	}
	return v, err
}

func tellVerdict(w io.Writer, v audit.Verdict, expected audit.Expected) error {
	text := fmt.Sprintf("The audit trail of %s (%s) holds, as of %s.\n", v.Organisation, v.UID, v.ExportedAt.Format(time.RFC3339))
	text += fmt.Sprintf("  sealed     %d rows, the last with hash %s\n", v.Sealed, v.Head)
	if v.Checkpoints > 0 {
		text += fmt.Sprintf("  signed     up to row %d at %s, by %d checkpoints; %d rows after that\n", v.Signed, v.SignedAt.Format(time.RFC3339), v.Checkpoints, v.Sealed-v.Signed)
	} else {
		text += "  signed     nothing: whoever can write the database could have written the chain anew\n"
	}
	if v.Unsealed > 0 {
		text += fmt.Sprintf("  unsealed   %d rows, the oldest %s before the export\n", v.Unsealed, v.ExportedAt.Sub(v.Oldest).Round(time.Millisecond))
	} else {
		text += "  unsealed   no rows\n"
	}
	for _, b := range v.Blankings {
		text += fmt.Sprintf("  blanked    %s\n", b)
	}
	for _, k := range v.Keys {
		text += fmt.Sprintf("  key        %x\n", []byte(k))
	}
	if expected.Key == nil && len(v.Keys) > 0 {
		text += "The key stands in the file itself: compare it with Hale's (--key), or whoever wrote the file may have made its own.\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// publicKey reads a public key from a file or from its own text.
func publicKey(given string) (ed25519.PublicKey, error) {
	text := given
	if b, err := os.ReadFile(given); err == nil { //nolint:gosec // the user names the file
		text = string(b)
	}
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fault.New(fault.Invalid, "--key %s: say a file with a public key, or its 64 hexadecimal digits", given)
	}
	return key, nil
}

// sealKeyName is the key of the audit trail in the data directory of an `up`; the public half stands beside it.
const sealKeyName = "audit-key.pem"

// publicSuffix stands behind the name of the key's file.
const publicSuffix = ".pub"

// sealKey is the key that the flags name; nil where nothing is sealed or signed.
func (c *serveCommand) sealKey(p *program) (ed25519.PrivateKey, error) {
	if !slices.Contains(c.Roles, roleProcess) {
		return nil, nil //nolint:nilnil // no key is an answer here
	}
	if c.AuditKey == "" {
		p.log.Warn("the audit trail is chained but not signed: say --audit-key FILE (docs/audit.md)")
		return nil, nil //nolint:nilnil // no key is an answer here
	}
	return openSealKey(c.AuditKey)
}

// openSealKey reads the key of the audit trail, or makes it, and puts the public half beside it. A key that somebody else
// gave may lie where nothing can be written, as a secret of a container does.
func openSealKey(path string) (ed25519.PrivateKey, error) {
	key, err := readSealKey(path)
	made := errors.Is(err, fs.ErrNotExist)
	if made {
		key, err = makeSealKey(path)
	}
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fault.New(fault.Invalid, "the audit key %s is no ed25519 key", path)
	}
	want := hex.EncodeToString(public) + "\n"
	if have, err := os.ReadFile(path + publicSuffix); err == nil && string(have) == want { //nolint:gosec // beside the key
		return key, nil
	}
	if err := os.WriteFile(path+publicSuffix, []byte(want), 0o644); err != nil && made { //nolint:gosec // public
		return nil, fault.Wrap(fault.Invalid, err, "the public half of the audit key cannot be written")
	}
	return key, nil
}

func readSealKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the audit key cannot be read")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Invalid, "the audit key %s can be read by others: chmod 600 it", path)
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the audit key cannot be read")
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fault.New(fault.Invalid, "the audit key %s is damaged: it is no PEM file", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the audit key %s is damaged", path)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fault.New(fault.Invalid, "the audit key %s is no ed25519 key", path)
	}
	return key, nil
}

// makeSealKey writes a new key, all of it or nothing: two processes that start at once must end with the same.
func makeSealKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw the audit key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write the audit key: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // 0600
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the audit key cannot be made")
	}
	defer func() { _ = os.Remove(file.Name()) }() // it has its second name by then
	err = pem.Encode(file, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Link(file.Name(), path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fault.Wrap(fault.Invalid, err, "the audit key cannot be made")
	}
	return readSealKey(path) // ours, or that of who was faster
}

// sealing chains and signs the audit trail.
func (h *house) sealing() stage {
	sealed := prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_audit_sealed_total", Help: "Rows of the audit trail that this process has sealed."})
	failed := prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_audit_seal_failures_total", Help: "Times that the audit trail could not be sealed; it is tried again."})
	behind := prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_audit_unsealed_seconds", Help: "Age of the oldest audit row that was not sealed at the last look."})
	h.registry.MustRegister(sealed, failed, behind)
	sealer := &audit.Sealer{Store: h.work, Key: h.sealKey, Log: h.log, Watch: audit.Watch{
		Sealed: func(rows int) { sealed.Add(float64(rows)) },
		Behind: func(age time.Duration) { behind.Set(age.Seconds()) },
		Failed: func(error) { failed.Inc() },
	}}
	return stage{name: "sealer of the audit trail", run: sealer.Run}
}
