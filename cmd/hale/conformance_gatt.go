package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hale/fault"
	"hale/ingest/formats"
	"hale/vital"
)

// gattVectors is a file of vectors: words of floats, and payloads with what they say.
type gattVectors struct {
	SFloat  []floatVector `json:"sfloat"`
	Float   []floatVector `json:"float"`
	Vectors []struct {
		Characteristic string         `json:"characteristic"`
		Name           string         `json:"name"`
		Hex            string         `json:"hex"`
		Decoded        map[string]any `json:"decoded"`
	} `json:"vectors"`
}

// floatVector is the word of a float, most significant byte first, and the number that it is or what it means instead.
type floatVector struct {
	Hex     string   `json:"hex"`
	Value   *float64 `json:"value"`
	Meaning string   `json:"meaning"`
}

func conformGATT(text []byte) ([]vector, error) {
	var file gattVectors
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the vectors are no JSON of the form that is expected")
	}
	var rows []vector
	for _, v := range file.SFloat {
		rows = append(rows, v.check("SFLOAT", "2A5E", 2))
	}
	for _, v := range file.Float {
		rows = append(rows, v.check("FLOAT", "2A1C", 4))
	}
	for _, v := range file.Vectors {
		row := vector{name: v.Characteristic + " " + v.Name}
		payload, err := hex.DecodeString(strings.ReplaceAll(v.Hex, " ", ""))
		if err != nil {
			row.got = "hex: " + err.Error()
		} else {
			m := formats.GATT(v.Characteristic, payload)
			row.ok, row.got = gattSays(&m, v.Decoded)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// check sends the word as the first number of a characteristic that begins with one of its kind.
func (v *floatVector) check(kind, characteristic string, size int) vector {
	row := vector{name: kind + " " + v.Hex}
	word, err := hex.DecodeString(v.Hex)
	if err != nil || len(word) != size {
		row.got = "the word has not " + strconv.Itoa(size) + " bytes in hexadecimal digits"
		return row
	}
	slices.Reverse(word)
	payload := append([]byte{0}, word...)
	if characteristic == "2A5E" {
		payload = append(payload, 0x54, 0) // an oximeter counts a pulse too
	}
	m := formats.GATT(characteristic, payload)
	row.got = messageWords(&m)
	first := len(m.Drafts) > 0 && m.Drafts[0].Metric != vital.HeartRate
	if v.Value != nil {
		row.ok = first && m.Drafts[0].Sent[0].Float() == *v.Value
		return row
	}
	means := map[string]string{
		"nan": "not-a-number", "+infinity": "positive-infinity", "-infinity": "negative-infinity", "+inf": "positive-infinity", "-inf": "negative-infinity",
		"nres": "not at this resolution", "reserved": "a reserved value",
	}[strings.ToLower(v.Meaning)]
	row.ok = !first && means != "" && len(m.Refused) > 0 && strings.Contains(m.Refused[0].Detail, means)
	return row
}

// gattSays holds a message against what a vector says that it means.
func gattSays(m *formats.Message, decoded map[string]any) (bool, string) {
	s := sayings(m)
	var wrong []string
	expected := 0
	for _, key := range slices.Sorted(maps.Keys(decoded)) {
		if key == "note" {
			continue
		}
		expected++
		if !s.says(key, decoded[key]) {
			wrong = append(wrong, fmt.Sprintf("%s is not %v", key, decoded[key]))
		}
	}
	if expected == 0 {
		wrong = append(wrong, "the vector expects nothing")
	}
	if len(wrong) > 0 {
		return false, strings.Join(wrong, ", ") + ": " + messageWords(m)
	}
	return true, messageWords(m)
}

// saying is what a message says: its numbers by name as they were sent, the same in canonical units, and all words.
type saying struct {
	m         *formats.Message
	sent      map[string][]float64
	canonical map[string]float64
	text      map[string]string
	words     string
}

func sayings(m *formats.Message) *saying {
	s := &saying{m: m, sent: map[string][]float64{}, canonical: map[string]float64{}, text: map[string]string{}}
	facts := slices.Clone(m.Facts)
	var all []string
	note := func(d *formats.Draft) {
		facts = append(facts, d.Facts...)
		all = append(all, d.Findings.Names()...)
		all = append(all, d.Metric.String())
		if d.HasSequence {
			s.sent["sequence"] = []float64{float64(d.Sequence)}
		}
		if d.HasSlot {
			s.sent["user"] = []float64{float64(d.Slot)}
		}
		if !d.Time.At.IsZero() {
			s.text["time"] = d.Time.At.Format("2006-01-02T15:04:05")
		}
	}
	for i := range m.Drafts {
		d := &m.Drafts[i]
		note(d)
		def, _ := vital.Define(d.Metric)
		for k, q := range d.Measured() {
			name := def.Components[k].Code
			if len(def.Components) == 1 {
				name = d.Metric.String()
			}
			if k == 0 && s.text["unit"] == "" {
				s.text["unit"] = q.Unit.UCUM()
			}
			s.sent[name] = []float64{q.Float()}
			if value, fits := q.To(def.Components[k].Canonical); fits {
				s.canonical[name] = value
			}
			s.text["unit of "+name] = q.Unit.UCUM()
		}
	}
	for _, r := range m.Refused {
		all = append(all, r.Detail, map[vital.Beyond]string{vital.Above: "hi", vital.Below: "lo"}[r.Beyond])
		if r.Draft != nil {
			note(r.Draft)
		}
	}
	if c := m.Context; c != nil {
		s.sent["sequence"] = []float64{float64(c.Sequence)}
		facts = append(facts, c.Facts...)
		all = append(all, c.Metric.String())
	}
	number := regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)
	for _, f := range facts {
		all = append(all, f.Name+" "+f.Value)
		s.text[f.Name] = f.Value
		if n := number.FindAllString(f.Value, -1); len(n) > 0 && number.FindStringIndex(f.Value)[0] == 0 {
			s.sent[f.Name] = nil
			if f.Name == "mean_pressure" && strings.HasSuffix(f.Value, vital.KiloPascal.UCUM()) {
				x, err := strconv.ParseFloat(n[0], 64)
				if value, fits := vital.Convert(x, vital.KiloPascal, vital.MmHg); err == nil && fits {
					s.canonical[f.Name] = value
				}
			}
			for _, digits := range n {
				x, _ := strconv.ParseFloat(digits, 64) // the expression lets nothing but a number through
				s.sent[f.Name] = append(s.sent[f.Name], x)
			}
		}
	}
	s.words = plainWords(strings.Join(all, "; "))
	return s
}

func plainWords(s string) string {
	return strings.NewReplacer("_", " ", "-", " ").Replace(strings.ToLower(s))
}

// name brings the names of vectors to ours, and says whether the value is meant in the canonical unit.
func (s *saying) name(key string) (name string, canonical bool) {
	for _, unit := range []string{"_mmhg", "_kg", "_cel", "_c", "_pct", "_kj", "_s", "_m", "_bpm"} {
		if stem, ok := strings.CutSuffix(strings.ToLower(key), unit); ok {
			name, _ = s.name(stem) // whether the stem is meant so is said by what was cut off
			_, measured := s.canonical[name]
			return name, measured
		}
	}
	switch strings.ToLower(key) {
	case "map", "mean", "mean_arterial_pressure":
		return "mean_pressure", false
	case "hr", "bpm", "pulse", "pulse_rate", "pr":
		if _, cuff := s.sent["pulse"]; cuff {
			return "pulse", false
		}
		return "heart_rate", false
	case "spo2", "saturation":
		return "oxygen_saturation", false
	case "weight":
		return "body_weight", false
	case "temp", "temperature":
		return "body_temperature", false
	case "bmi":
		return "body_mass_index", false
	case "height":
		return "body_height", false
	case "rr", "rr_interval":
		return "rr_intervals", false
	case "seq", "sequence_number":
		return "sequence", false
	case "user_id", "user_index", "slot":
		return "user", false
	case "pai":
		return "pulse_amplitude_index", false
	case "local_time", "timestamp", "device_time", "date_time":
		return "time", false
	case "mg_dl", "mmol_l":
		return "glucose", strings.EqualFold(key, "mg_dL")
	}
	return strings.ToLower(key), false
}

// says reports whether the message says what a vector says under a key. A key that we have no name for is looked for among all
// that was said.
func (s *saying) says(key string, want any) bool {
	name, canonical := s.name(key)
	switch want := want.(type) {
	case nil:
		_, there := s.sent[name]
		return !there
	case float64:
		if strings.EqualFold(key, "mmol_L") && s.text["unit"] == vital.MgPerDL.UCUM() {
			return math.Abs(s.canonical[name]/18.0156-want) <= 0.05
		}
		if x, there := s.canonical[name]; canonical && there {
			return math.Abs(x-want) <= 0.05 // vectors write it rounded
		}
		if x, there := s.sent[name]; there {
			return len(x) > 0 && nearly(x[0], want)
		}
		for _, numbers := range s.sent {
			if slices.ContainsFunc(numbers, func(x float64) bool { return nearly(x, want) }) {
				return true
			}
		}
		return false
	case string:
		if name == "unit" {
			return s.text[name] == want
		}
		if name == "time" {
			want = strings.Replace(strings.TrimSuffix(want, "Z"), " ", "T", 1)
			return want != "" && (s.text[name] == want || s.text[name] == want+":00") // vectors leave out seconds that are 0
		}
		return s.hears(want)
	case bool:
		return s.hears(key) == want
	case []any:
		return s.saysAll(key, name, want)
	}
	return false
}

// hears reports whether every word of a text was said.
func (s *saying) hears(text string) bool {
	text = plainWords(text)
	for special, words := range map[string]string{"+inf": "positive infinity", "+infinity": "positive infinity", "nan": "not a number"} {
		if text == special {
			text = words
		}
	}
	spoken := strings.FieldsFunc(s.words, func(r rune) bool { return strings.ContainsRune(" ,;:.()", r) })
	for _, word := range strings.Fields(text) {
		if !slices.Contains(spoken, word) {
			return false
		}
	}
	return text != ""
}

func (s *saying) saysAll(key, name string, want []any) bool {
	numbers := s.sent[name]
	for i, w := range want {
		x, isNumber := w.(float64)
		if isNumber && (len(numbers) != len(want) || !nearly(numbers[i], x)) || !isNumber && !s.says(key+" "+strconv.Itoa(i), w) {
			return false
		}
	}
	return true
}

func nearly(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(b)) }
