package safe

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"hale/account"
	"hale/account/identity"
	"hale/vital"
)

// Reading is a measurement as it is exported: what was sent and what it is in canonical units.
type Reading struct {
	ID         int64
	Metric     vital.Metric
	MeasuredAt time.Time
	SentAt     time.Time // by the device's own clock
	ReceivedAt time.Time
	Tie        int64
	Sent       []vital.Quantity
	Values     []float64 // in canonical units
	Findings   vital.Finding
	Sensor     string
	Device     string       // that sent it
	Facts      []vital.Fact // that stand beside it

	Withdrawn *TakenBack // why it stands no more; nil while it does
}

// TakenBack is how a reading was taken out of the record.
type TakenBack struct {
	At      time.Time
	Amended bool   // another stands in its place
	By, Why string // By is empty when the device said it
}

// Words says it in words.
func (w *TakenBack) Words() string {
	text, by := "taken back by ", w.By
	if w.Amended {
		text = "corrected, another stands in its place, by "
	}
	if by == "" {
		by = "the device"
	}
	if text += by; w.Why != "" {
		text += ": " + w.Why
	}
	return text
}

// Offset is by how much the device's clock was corrected.
func (r *Reading) Offset() time.Duration { return r.MeasuredAt.Sub(r.SentAt) }

// Dated reports whether no more than the day was told on which it was measured: SentAt is the midnight of it, as if in UTC.
func (r *Reading) Dated() bool {
	const dated = vital.TimeLocal | vital.TimeUnsure
	return r.Findings&dated == dated && r.SentAt.Equal(r.SentAt.UTC().Truncate(24*time.Hour))
}

// Stream is the readings of one metric that one sensor took of the patient.
type Stream struct {
	Sensor vital.SensorID
	Metric vital.Metric
	From   time.Time // no reading of it was sent earlier
}

// Device is what measured.
type Device struct {
	UID, Model string
	Sensor     string
	From, To   time.Time // while its readings were the patient's; To is zero when they are still
}

// Alert is an alert as it is exported, with its log.
type Alert struct {
	ID        int64
	UID       vital.UID
	Metric    vital.Metric
	Rule      string // "limit" or "trend"
	Level     string // "yellow", "red", "extreme"
	State     string // "open", "acknowledged", "closed"
	OpenedAt  time.Time
	FirstAt   time.Time
	LastAt    time.Time
	Last      []float64
	ClosedAt  time.Time
	Closing   string
	NextStep  string
	Note      string
	Historic  bool
	Readings  int
	Log       []AlertEntry
	TakenBy   string
	TakenAt   time.Time
	NextStepT time.Time

	Retracted   string // why the reading of Last stands no more: "entered_in_error", "amended" or "not_theirs"; empty while it stands
	RetractedBy string // empty: the device
	RetractedAt time.Time
}

// Stands says in words that the alert's last reading stands no more; empty while it does.
func (a *Alert) Stands() string {
	by := a.RetractedBy
	if by == "" {
		by = "the device"
	}
	switch a.Retracted {
	case "":
		return ""
	case "amended":
		return "that reading was corrected by " + by
	case "not_theirs":
		return "that reading is somebody else's, as " + by + " said"
	}
	return "that reading was taken back by " + by
}

// AlertEntry is an entry of an alert's log.
type AlertEntry struct {
	At        time.Time
	Kind      string
	By, Role  string
	ReadingAt time.Time
	Values    []float64
	Note      string
}

// ConsentGiven is a decision of the patient, as it is exported.
type ConsentGiven struct {
	UID       vital.UID
	Purpose   string
	Version   int
	Choice    string // "given", "refused", "withdrawn"
	By        string // "self" or "guardian"
	DecidedAt time.Time
}

// Table is everything that a table of the record holds about the patient, as text.
type Table struct {
	Name    string
	Columns []string
	Rows    [][]string
}

// Holder is whose record it is.
type Holder struct {
	account.Patient
	Organisation string
	Identifiers  []identity.Identifier // all, also those that are over
	NumberSystem string                // URI under which Patient.Number is known to others
}

// ExportBook is the record as Exports needs it, bound to the actor's organisation and view. Each call is a short
// transaction of its own: a slow download must not hold one.
type ExportBook interface {
	// BeginExport writes down that the record is exported, and returns whose it is and the moment up to which it is.
	BeginExport(ctx context.Context, actor account.Actor, p account.Patient, how string) (Holder, time.Time, error)
	Streams(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]Stream, error)
	// Readings returns at most so many of a stream that were sent after the mark (from s.From on for a zero one) and received
	// up to a moment, in the order of sending.
	Readings(ctx context.Context, actor account.Actor, patient vital.PatientID, s Stream, after ReadingMark, until time.Time, most int) ([]Reading, error)
	// Withdrawn returns at most so many readings that were taken back after the mark (At and ID; from the first on for a zero one) and up to a
	// moment, in that order.
	Withdrawn(ctx context.Context, actor account.Actor, patient vital.PatientID, after WithdrawnMark, until time.Time, most int) ([]Reading, error)
	// AlertsOf returns at most so many alerts with a larger ID, in the order of their IDs, with their logs.
	AlertsOf(ctx context.Context, actor account.Actor, patient vital.PatientID, after int64, most int) ([]Alert, error)
	DevicesOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]Device, error)
	ConsentsOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]ConsentGiven, error)
	// TablesOf returns what the other tables hold about the patient.
	TablesOf(ctx context.Context, actor account.Actor, patient vital.PatientID) ([]Table, error)
	Looks(ctx context.Context, actor account.Actor, patient vital.PatientID, f LookFilter) ([]Look, error)
}

// ReadingMark is a place in a stream.
type ReadingMark struct {
	SentAt time.Time
	Tie    int64
}

// WithdrawnMark is a place among what was taken back.
type WithdrawnMark struct {
	At time.Time
	ID int64
}

// Exporter writes records in a form of other people (api/fhirmap).
type Exporter interface {
	// Begin starts a document about the holder, as of a moment.
	Begin(w io.Writer, h Holder, at time.Time) (Document, error)
}

// Document takes one thing after another: *Reading, *Device, *Alert, *Look, *ConsentGiven. End completes it.
type Document interface {
	Add(thing any) error
	End() error
}

// Exports makes copies of whole records.
type Exports struct {
	People People
	Book   ExportBook
	FHIR   Exporter
	Looks  *account.Looks // at what is offered; nil writes nothing
	Now    func() time.Time
}

// Export is a copy that was allowed and written down, and is to be written.
type Export struct {
	exports *Exports
	actor   account.Actor
	Holder  Holder
	At      time.Time
}

// Offer returns whose copy the actor may take.
func (e *Exports) Offer(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, error) {
	p, err := reach(ctx, e.People, actor, account.ExportRecord, patient)
	if err != nil {
		return p, err
	}
	return p, e.Looks.Saw(ctx, actor, "copy", "", p.ID)
}

// Begin asks whether the actor may take a copy of the patient's record and writes down that they do.
func (e *Exports) Begin(ctx context.Context, actor account.Actor, patient vital.UID) (*Export, error) {
	p, err := reach(ctx, e.People, actor, account.ExportRecord, patient)
	if err != nil {
		return nil, err
	}
	return e.BeginFor(ctx, actor, p, "zip")
}

// BeginFor is Begin for somebody whose right was found otherwise: the operator at the console, or a share's secret.
func (e *Exports) BeginFor(ctx context.Context, actor account.Actor, p account.Patient, how string) (*Export, error) {
	h, at, err := e.Book.BeginExport(ctx, actor, p, how)
	if err != nil {
		return nil, err
	}
	return &Export{exports: e, actor: actor, Holder: h, At: at}, nil
}

// pageOf is how many readings are in memory at once.
const pageOf = 2000

// readings hands every reading that was received up to e.At, and measured from since on, to each.
func (e *Export) readings(ctx context.Context, since time.Time, each func(*Reading) error) error {
	p := e.Holder.ID
	streams, err := e.exports.Book.Streams(ctx, e.actor, p)
	if err != nil {
		return err
	}
	for _, s := range streams {
		if since.After(s.From) {
			s.From = since.Add(-24 * time.Hour) // a corrected clock lies no further from the time as sent
		}
		var mark ReadingMark
		for {
			page, err := e.exports.Book.Readings(ctx, e.actor, p, s, mark, e.At, pageOf)
			if err != nil {
				return err
			}
			for i := range page {
				if page[i].MeasuredAt.Before(since) {
					continue
				}
				if err := each(&page[i]); err != nil {
					return err
				}
			}
			if len(page) < pageOf {
				break
			}
			mark = ReadingMark{SentAt: page[pageOf-1].SentAt, Tie: page[pageOf-1].Tie}
		}
	}
	return nil
}

// withdrawn hands every reading that was taken back up to e.At to each.
func (e *Export) withdrawn(ctx context.Context, each func(*Reading) error) error {
	var mark WithdrawnMark
	for {
		page, err := e.exports.Book.Withdrawn(ctx, e.actor, e.Holder.ID, mark, e.At, pageOf)
		if err != nil {
			return err
		}
		for i := range page {
			if err := each(&page[i]); err != nil {
				return err
			}
			mark = WithdrawnMark{At: page[i].Withdrawn.At, ID: page[i].ID}
		}
		if len(page) < pageOf {
			return nil
		}
	}
}

const alertsAtOnce = 200

func (e *Export) alerts(ctx context.Context, each func(*Alert) error) error {
	var after int64
	for {
		page, err := e.exports.Book.AlertsOf(ctx, e.actor, e.Holder.ID, after, alertsAtOnce)
		if err != nil {
			return err
		}
		for i := range page {
			if err := each(&page[i]); err != nil {
				return err
			}
			after = page[i].ID
		}
		if len(page) < alertsAtOnce {
			return nil
		}
	}
}

// looks hands the whole trail to each, newest first.
func (e *Export) looks(ctx context.Context, each func(*Look) error) error {
	f := LookFilter{To: e.At.Add(time.Microsecond), Limit: MostLooks, Hale: true}
	for {
		page, err := e.exports.Book.Looks(ctx, e.actor, e.Holder.ID, f)
		if err != nil {
			return err
		}
		for _, l := range VisibleTo(e.actor, page) {
			if err := each(&l); err != nil {
				return err
			}
		}
		if len(page) < f.Limit {
			return nil
		}
		f.Before = page[len(page)-1].ID
	}
}

// ManifestFile is a line of the manifest.
type ManifestFile struct {
	Name   string `json:"name"`
	Rows   int    `json:"rows"` // without a head line; of the page, the readings that it tells of
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Manifest lists what an export holds; it is its last file.
type Manifest struct {
	Made         time.Time      `json:"made"`
	Organisation string         `json:"organisation"`
	Patient      vital.UID      `json:"patient"`
	Files        []ManifestFile `json:"files"`
}

// archive is a zip being written, with its manifest.
type archive struct {
	zip      *zip.Writer
	at       time.Time
	manifest Manifest
}

// part is a file of the archive that counts and hashes what goes through it.
type part struct {
	to   io.Writer
	sum  hash.Hash
	size int64
	rows int
}

// Write writes to the file.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.to.Write(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	return n, err
}

func (a *archive) file(name string, fill func(*part) error) error {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.at})
	if err != nil {
		return fmt.Errorf("begin %s: %w", name, err)
	}
	p := &part{to: w, sum: sha256.New()}
	if err := fill(p); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	a.manifest.Files = append(a.manifest.Files, ManifestFile{Name: name, Rows: p.rows, Bytes: p.size, SHA256: hex.EncodeToString(p.sum.Sum(nil))})
	return nil
}

// Write writes the copy as a zip: everything as FHIR R4, as tables (CSV) and as a page to read, and a manifest with the hash
// of each. tell, when it is set, hears how many readings have been written. A zip that breaks off has no manifest and cannot
// be opened: it is to be asked for again.
func (e *Export) Write(ctx context.Context, w io.Writer, tell func(readings int)) error {
	if tell == nil {
		tell = func(int) {}
	}
	a := &archive{zip: zip.NewWriter(w), at: e.At, manifest: Manifest{Made: e.At, Organisation: e.Holder.Organisation, Patient: e.Holder.UID}}
	page := newPage(e)
	told := 0
	counted := func(each func(*Reading) error) func(*Reading) error {
		return func(r *Reading) error {
			if told++; told%pageOf == 0 {
				tell(told)
			}
			return each(r)
		}
	}
	steps := []func() error{
		func() error {
			return a.file("readings.csv", func(p *part) error { return e.readingsCSV(ctx, p, page, counted) })
		},
		func() error { return a.file("fhir.json", func(p *part) error { return e.fhir(ctx, p, counted) }) },
		func() error { return a.file("alerts.csv", func(p *part) error { return e.alertsCSV(ctx, p, page) }) },
		func() error { return a.file("alert-log.csv", func(p *part) error { return e.alertLogCSV(ctx, p) }) },
		func() error { return a.file("looks.csv", func(p *part) error { return e.looksCSV(ctx, p, page) }) },
		func() error { return e.tables(ctx, a) },
		func() error { return a.file("index.html", func(p *part) error { return page.write(ctx, p) }) },
		func() error { return a.file("README.txt", func(p *part) error { return e.readme(p) }) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	tell(told)
	return a.end()
}

func (a *archive) end() error {
	text, err := json.MarshalIndent(a.manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	if err := a.file("manifest.json", func(p *part) error {
		_, err := p.Write(append(text, '\n'))
		return err
	}); err != nil {
		return err
	}
	if err := a.zip.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}

func (e *Export) fhir(ctx context.Context, p *part, counted func(func(*Reading) error) func(*Reading) error) error {
	doc, err := e.exports.FHIR.Begin(p, e.Holder, e.At)
	if err != nil {
		return err
	}
	add := func(thing any) error {
		p.rows++
		return doc.Add(thing)
	}
	devices, err := e.exports.Book.DevicesOf(ctx, e.actor, e.Holder.ID)
	if err != nil {
		return err
	}
	for i := range devices {
		if err := add(&devices[i]); err != nil {
			return err
		}
	}
	consents, err := e.exports.Book.ConsentsOf(ctx, e.actor, e.Holder.ID)
	if err != nil {
		return err
	}
	for i := range consents {
		if err := add(&consents[i]); err != nil {
			return err
		}
	}
	if err := e.readings(ctx, time.Time{}, counted(func(r *Reading) error { return add(r) })); err != nil {
		return err
	}
	if err := e.withdrawn(ctx, func(r *Reading) error { return add(r) }); err != nil {
		return err
	}
	if err := e.alerts(ctx, func(a *Alert) error { return add(a) }); err != nil {
		return err
	}
	if err := e.looks(ctx, func(l *Look) error { return add(l) }); err != nil {
		return err
	}
	return doc.End()
}
