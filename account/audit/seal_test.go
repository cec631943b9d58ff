package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hale/account/audit"
	"hale/vital"
)

const (
	home      = vital.UID("01920000-0000-7000-8000-000000000001")
	elsewhere = vital.UID("01920000-0000-7000-8000-000000000002")
)

func sealKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(t interface{ Fatal(args ...any) }, key ed25519.PrivateKey) ed25519.PublicKey {
	p, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("no public key")
	}
	return p
}

// trail makes n rows of an audit trail.
func trail(n int) []audit.Row {
	rows := make([]audit.Row, n)
	for i := range rows {
		rows[i] = audit.Row{
			ID: int64(3*i + 1), At: time.Date(2026, 3, 1, 8, 0, i, 1000*i, time.UTC), Actor: int64(i % 3), Name: fmt.Sprint("Nurse <", i%3, ">"), Role: "nurse",
			Session: "s", Action: "look", Salt: bytes.Repeat([]byte{byte(i)}, 16), Patient: vital.PatientID(i % 5), Object: fmt.Sprint("patient ", i%5), Detail: "blood_pressure",
		}
	}
	return rows
}

// export seals rows in batches, signed by key after each batch, leaves the last few unsealed, and exports them.
func export(t interface{ Fatal(args ...any) }, org vital.UID, rows []audit.Row, key ed25519.PrivateKey, batch, unsealed int) []string {
	head := audit.ChainHead{UID: org, Hash: audit.Genesis(org)}
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var links []audit.Hash
	var checkpoints []audit.Checkpoint
	sealed := rows[:len(rows)-unsealed]
	for part := range slices.Chunk(sealed, batch) {
		now = now.Add(time.Hour)
		s := audit.Seal(head, part, key, now)
		links = append(links, s.Links...)
		head.Seq, head.Hash = head.Seq+int64(len(part)), s.Links[len(part)-1]
		if c := s.Checkpoint; c != nil {
			checkpoints = append(checkpoints, *c)
			head.Number, head.Signed, head.SignedAt = c.Number, c.Seq, c.At
		}
	}
	var file bytes.Buffer
	x := audit.NewExport(&file)
	err := x.Begin("Home", org, now, checkpoints)
	for i := range sealed {
		if err == nil {
			err = x.Sealed(&sealed[i], int64(i+1), links[i])
		}
	}
	for i := len(sealed); i < len(rows) && err == nil; i++ {
		err = x.Unsealed(&rows[i])
	}
	if err == nil {
		err = x.End()
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(file.String(), "\n"), "\n")
}

func verify(lines []string, expected audit.Expected) (audit.Verdict, error) {
	return audit.Verify(strings.NewReader(strings.Join(lines, "")), expected)
}

func TestAnExportThatNobodyTouchedHolds(t *testing.T) {
	t.Parallel()
	key := sealKey(1)
	v, err := verify(export(t, home, trail(25), key, 10, 3), audit.Expected{Key: public(t, key)})
	if err != nil || v.Broken != nil {
		t.Fatalf("%+v, %v", v.Broken, err)
	}
	if v.Sealed != 22 || v.Checkpoints != 3 || v.Signed != 22 || v.Unsealed != 3 || v.UID != home || !v.Oldest.Equal(trail(25)[22].At) {
		t.Errorf("verdict %+v", v)
	}
	empty, err := verify(export(t, home, nil, key, 10, 0), audit.Expected{})
	if err != nil || empty.Broken != nil || empty.Sealed != 0 {
		t.Errorf("an empty trail: %+v, %v", empty, err)
	}
}

// TestASealIsTheSameForEver pins the bytes that are hashed: a change of them makes every chain that exists fail.
func TestASealIsTheSameForEver(t *testing.T) {
	t.Parallel()
	rows := trail(3)
	const want = "876430d9e80df9a27c910f41b06e127e82b2a676be34f82e9848501728178cfb"
	if got := audit.Link(audit.Genesis(home), 1, &rows[2]).String(); got != want {
		t.Errorf("the link is %s, want %s", got, want)
	}
}

func TestTheFirstBrokenLinkIsNamed(t *testing.T) {
	t.Parallel()
	key := sealKey(1)
	// Lines: 1 header, 2..11 links 1..10, 12 checkpoint 1, 13..22 links 11..20, 23 checkpoint 2, 24 unsealed, 25 end.
	whole := export(t, home, trail(21), key, 10, 1)
	other := export(t, elsewhere, trail(21), key, 10, 1)
	forged := export(t, home, trail(21), sealKey(2), 10, 1)
	anew := trail(21)
	anew[4].Detail = "something else"
	written := export(t, home, anew, sealKey(2), 10, 1)
	cases := []struct {
		name  string
		lines []string
		since bool
		seq   int64
		want  string
	}{
		{"a row that is missing", slices.Delete(slices.Clone(whole), 5, 6), false, 5, "link 5 is missing"},
		{"the last row before a checkpoint that is missing", slices.Delete(slices.Clone(whole), 21, 22), false, 20, "links 20 to 20 are missing"},
		{"a row that was changed", replaced(whole, 5, `"action":"look"`, `"action":"lock"`), false, 5, "link 5 was changed"},
		{"a row that tells of another patient", replaced(whole, 5, `"patient":4`, `"patient":3`), false, 5, "link 5 was changed"},
		{"two rows that changed places", swapped(whole, 5, 7), false, 5, "link 5 is out of order: it stands in line 8"},
		{"a row that stands twice", slices.Insert(slices.Clone(whole), 6, whole[5]), false, 6, "twice or out of order"},
		{"a checkpoint that is missing", slices.Delete(slices.Clone(whole), 11, 12), false, 20, "checkpoint 2 stands where checkpoint 1 belongs"},
		{"a checkpoint of a later time", replaced(whole, 11, `"at":"2026-03-01T10:`, `"at":"2026-03-01T11:`), false, 10, "checkpoint 1 is forged"},
		{"a checkpoint by somebody else's key", splice(whole, forged, 11), false, 10, "checkpoint 1 is forged"},
		{"another organisation's row", splice(whole, other, 1), false, 1, "link 1 was changed"},
		{"a chain written anew by somebody without the key", written, false, 10, "checkpoint 1 is forged"},
		{"a row added to the unsealed", slices.Insert(slices.Clone(whole), 23, whole[23]), false, 0, "the end tells of 20 links"},
		{"a time in another zone", replaced(whole, 5, `:04.000004Z`, `:04.000004+00:00`), false, 5, "not as Hale writes it"},
		{"a time beyond the microsecond", replaced(whole, 5, `:04.000004Z`, `:04.000004001Z`), false, 5, "not as Hale writes it"},
		{"a space that does not belong", replaced(whole, 5, `"action":`, `"action": `), false, 5, "not as Hale writes it"},
		{"a field that stands twice", replaced(whole, 5, `"action":`, `"action":"lock","action":`), false, 5, "not as Hale writes it"},
		{"a field that does not belong", replaced(whole, 5, `"action"`, `"acted":1,"action"`), false, 5, "not one of an export"},
		{"a file without its end", whole[:len(whole)-1], false, 0, "cut off"},
		{"a file without anything signed", export(t, home, trail(3), nil, 10, 0), false, 0, "there is no checkpoint"},
		{"less than there was before", export(t, home, trail(10), key, 10, 0), true, 11, "links 11 to 20 are missing"},
		{"another chain than before by the same key", export(t, home, anew, key, 10, 1), true, 20, "the chain was written anew"},
	}
	before, err := verify(whole, audit.Expected{})
	if err != nil || before.Broken != nil {
		t.Fatal(before.Broken, err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			expected := audit.Expected{Key: public(t, key)}
			if c.since {
				expected.Seq, expected.Hash = before.Sealed, before.Head
			}
			v, err := verify(c.lines, expected)
			if err != nil || v.Broken == nil {
				t.Fatalf("%+v, %v", v, err)
			}
			if v.Broken.Seq != c.seq || !strings.Contains(v.Broken.What, c.want) {
				t.Errorf("broken at link %d (line %d): %s; want link %d: %s", v.Broken.Seq, v.Broken.Line, v.Broken.What, c.seq, c.want)
			}
		})
	}
	for _, no := range []string{"", "\n", "hello\n", strings.Repeat("x", 100)} {
		if _, err := audit.Verify(strings.NewReader(no), audit.Expected{}); err == nil {
			t.Errorf("%q passed as an export", no)
		}
	}
}

// TestAnySingleTamperingIsFound changes, removes, doubles or moves one thing of the sealed part of an export.
func TestAnySingleTamperingIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := sealKey(1)
		n := rapid.IntRange(2, 30).Draw(t, "rows")
		lines := export(t, home, trail(n), key, rapid.IntRange(1, 8).Draw(t, "batch"), 0)
		whole := strings.Join(lines, "")
		i := rapid.IntRange(1, len(lines)-2).Draw(t, "line") // a row or a checkpoint
		switch rapid.SampledFrom([]string{"byte", "digit", "remove", "double", "move", "cut"}).Draw(t, "tampering") {
		case "byte":
			b := []byte(lines[i])
			j := rapid.IntRange(0, len(b)-1).Draw(t, "place")
			b[j] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
			lines[i] = string(b)
		case "digit": // what still reads as a hash, a number, a word
			const digits = "0123456789abcdef"
			b := []byte(lines[i])
			var places []int
			for j := range b {
				if strings.IndexByte(digits, b[j]) >= 0 {
					places = append(places, j)
				}
			}
			b[rapid.SampledFrom(places).Draw(t, "place")] = digits[rapid.IntRange(0, len(digits)-1).Draw(t, "digit")]
			lines[i] = string(b)
		case "remove":
			lines = slices.Delete(lines, i, i+1)
		case "double":
			lines = slices.Insert(lines, i, lines[i])
		case "move":
			line, to := lines[i], rapid.IntRange(1, len(lines)-2).Draw(t, "to")
			lines = slices.Insert(slices.Delete(lines, i, i+1), to, line)
		case "cut":
			lines = lines[:i]
		}
		if strings.Join(lines, "") == whole {
			return // as it was
		}
		if v, err := verify(lines, audit.Expected{Key: public(t, key)}); err == nil && v.Broken == nil {
			t.Fatal("the tampering was not found")
		}
	})
}

// TestEveryFieldIsInTheHash changes each field of a row alone.
func TestEveryFieldIsInTheHash(t *testing.T) {
	t.Parallel()
	changes := map[string]func(r *audit.Row){
		"id": func(r *audit.Row) { r.ID++ }, "at": func(r *audit.Row) { r.At = r.At.Add(time.Microsecond) },
		"actor": func(r *audit.Row) { r.Actor++ }, "name": func(r *audit.Row) { r.Name += "x" }, "role": func(r *audit.Row) { r.Role += "x" },
		"session": func(r *audit.Row) { r.Session += "x" }, "action": func(r *audit.Row) { r.Action += "x" },
		"salt": func(r *audit.Row) { r.Salt = append(slices.Clone(r.Salt), 0) }, "patient": func(r *audit.Row) { r.Patient++ },
		"object": func(r *audit.Row) { r.Object += "x" }, "detail": func(r *audit.Row) { r.Detail += "x" },
		"a letter from one field to the next": func(r *audit.Row) { r.Object, r.Detail = r.Object+r.Detail[:1], r.Detail[1:] },
	}
	row := trail(5)[4]
	was := audit.Link(audit.Hash{}, 5, &row)
	for name, change := range changes {
		changed := row
		change(&changed)
		if audit.Link(audit.Hash{}, 5, &changed) == was {
			t.Errorf("%s is not in the hash", name)
		}
	}
	if audit.Link(audit.Hash{}, 6, &row) == was || audit.Link(audit.Hash{1}, 5, &row) == was {
		t.Error("the place in the chain is not in the hash")
	}
}

func TestAChainIsSignedEveryMinuteOrTenThousandRows(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	cases := []struct {
		name   string
		head   audit.ChainHead
		rows   int
		signed bool
	}{
		{"the first rows", audit.ChainHead{}, 1, true},
		{"a row within the minute", audit.ChainHead{Seq: 5, Signed: 5, SignedAt: now.Add(-59 * time.Second)}, 1, false},
		{"a row after the minute", audit.ChainHead{Seq: 5, Signed: 5, SignedAt: now.Add(-time.Minute)}, 1, true},
		{"nothing new after the minute", audit.ChainHead{Seq: 5, Signed: 5, SignedAt: now.Add(-time.Hour)}, 0, false},
		{"rows that waited for the minute", audit.ChainHead{Seq: 7, Signed: 5, SignedAt: now.Add(-time.Minute)}, 0, true},
		{"many rows within the minute", audit.ChainHead{Seq: 10_000, Signed: 5, SignedAt: now.Add(-time.Second)}, 5, true},
	}
	for _, c := range cases {
		s := audit.Seal(c.head, trail(c.rows), sealKey(1), now)
		if (s.Checkpoint != nil) != c.signed {
			t.Errorf("%s: checkpoint %+v", c.name, s.Checkpoint)
		}
		if got := audit.Seal(c.head, trail(c.rows), nil, now); got.Checkpoint != nil {
			t.Errorf("%s: signed without a key", c.name)
		}
	}
}

func replaced(lines []string, i int, old, by string) []string {
	lines = slices.Clone(lines)
	lines[i] = strings.Replace(lines[i], old, by, 1)
	return lines
}

func swapped(lines []string, i, j int) []string {
	lines = slices.Clone(lines)
	lines[i], lines[j] = lines[j], lines[i]
	return lines
}

func splice(lines, from []string, i int) []string {
	lines = slices.Clone(lines)
	lines[i] = from[i]
	return lines
}
