package simulators

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// Condition is a chronic illness of a simulated person.
type Condition string

// The conditions that the simulator knows.
const (
	Hypertension       Condition = "hypertension"
	HeartFailure       Condition = "heart failure"
	COPD               Condition = "COPD"
	Diabetes           Condition = "type 2 diabetes"
	AtrialFibrillation Condition = "atrial fibrillation"
	Frailty            Condition = "frailty"
)

// Life is one invented person from a first day on: who they are, what is normal for them, what will go wrong, and what
// they and their devices do about it day by day. Everything is drawn from the seed; nobody's data stand behind it. A
// Life is for one goroutine, and its days are asked for in their order.
type Life struct {
	Number     string // the programme's number of the patient
	Name       string
	Sex        string
	BirthYear  int
	Zone       *time.Location
	Conditions []Condition
	Troubles   []Trouble
	Kits       []Kit
	Limits     map[string]Limits // what a clinician would have set at enrolment, by metric; nil: the defaults suit

	seed   uint64
	start  time.Time
	end    time.Time // of the story; life goes on after it
	normal normal
	habits habits
	drifts []drift
	day    int // the next one to be lived
	counts map[string]int64
	truths []Truth
	gap    outage          // of every device at once
	noted  map[[2]int]bool // outages that stand in truths
}

// normal is what is usual for a person in the early afternoon, in the canonical units of the metrics.
type normal struct {
	systolic, diastolic, pulse, saturation, weight, temperature, respiration float64

	fasting, meal float64 // glucose before breakfast, and its rise after a meal, mg/dL
	steps, sleep  float64 // a day, minutes a night
	flow          float64 // peak expiratory flow, L/min

	dip       float64 // share of the pressure between the afternoon and the small hours
	unsteady  float64 // standard deviation of systolic pressure from day to day, mm[Hg]
	moment    float64 // and from one moment to the next, the cuff's own noise included
	loss      float64 // of weight, kg a day
	whiteCoat float64 // rise of systolic pressure in the first days of measuring, mm[Hg]
}

// habits is how a person measures.
type habits struct {
	wake, bed float64 // local hours
	adherence float64 // share of the sessions that are not forgotten
	calm      bool    // no artefact, no mistake, no gap, no broken line: for people whose story must be plain
	mmol      bool    // the glucose meter shows mmol/L
	even      bool    // the cuff shows even numbers only
	counting  bool    // cuff and meter count their readings
	patch     bool    // wears a patch that measures every five minutes
	awayFrom  int     // first day of a holiday
	away      int     // its length in days, 0 for none
	guestDay  int     // a day on which somebody else steps on the scale, -1 for never
	guest     float64 // how much heavier they are, kg
}

// source returns the random numbers for one purpose. Purposes do not disturb each other: a further reading in one
// place changes nothing elsewhere.
func source(seed uint64, purpose string, numbers ...int64) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose)) // a hash takes everything
	var b [8]byte
	for _, n := range numbers {
		for i := range b {
			b[i] = byte(n >> (8 * i))
		}
		_, _ = h.Write(b[:])
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func (l *Life) source(purpose string, numbers ...int64) *rand.Rand {
	return source(l.seed, purpose, numbers...)
}

// around draws from a normal distribution that is cut at the bounds.
func around(r *rand.Rand, mean, sd, low, high float64) float64 {
	return clamp(mean+sd*r.NormFloat64(), low, high)
}

func between(r *rand.Rand, low, high float64) float64 { return low + (high-low)*r.Float64() }

func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

func clamp(v, low, high float64) float64 { return math.Min(high, math.Max(low, v)) }

// has reports whether the person has the condition.
func (l *Life) has(c Condition) bool {
	for _, own := range l.Conditions {
		if own == c {
			return true
		}
	}
	return false
}

// born draws who the person is and what is normal for them. The means are those of older people at home with their
// treatment in place; they are our judgement [J], held against a recorded data set by a test.
func (l *Life) born() {
	r := l.source("born")
	l.Name, l.Sex, l.Zone = folk(r)
	age := around(r, 78, 7, 62, 97)
	l.BirthYear = l.start.Year() - int(age)
	height := around(r, 1.62, 0.06, 1.45, 1.85)
	if l.Sex == "male" {
		height += 0.12
	}
	n := normal{
		systolic: around(r, 129, 7, 114, 142), pulse: around(r, 70, 7, 57, 86), saturation: around(r, 96.9, 0.5, 95.9, 98.4),
		weight: height * height * around(r, 26.5, 3.2, 19.5, 36), temperature: around(r, 36.4, 0.12, 36.1, 36.7), respiration: around(r, 15, 1.1, 12.9, 17.2),
		fasting: around(r, 97, 6, 82, 110), meal: around(r, 30, 6, 15, 45), steps: around(r, 3600, 1100, 1200, 8000), sleep: around(r, 430, 25, 370, 490),
		flow: around(r, 330, 50, 200, 480), dip: around(r, 0.1, 0.03, 0.02, 0.18), unsteady: around(r, 5, 1, 3, 7), moment: around(r, 5, 0.7, 3.5, 6.5),
	}
	ratio := around(r, 0.585, 0.02, 0.53, 0.64)
	for _, c := range l.Conditions {
		n.ill(r, c)
	}
	n.diastolic = n.systolic * ratio
	l.normal = n
	l.habits = habits{
		wake: around(r, 7, 0.6, 5.8, 8.6), bed: around(r, 22.3, 0.5, 21.2, 23.4), adherence: between(r, 0.8, 0.98),
		mmol: chance(r, 0.5), even: chance(r, 0.3), counting: chance(r, 0.5), guestDay: -1,
	}
	if l.has(Frailty) {
		l.habits.adherence = between(r, 0.55, 0.8)
	}
	days := max(1, l.days())
	if chance(r, 0.12) && days > 3 {
		l.habits.awayFrom, l.habits.away = 1+r.IntN(days-2), 1+r.IntN(3)
	}
	if chance(r, 0.06) {
		l.habits.guestDay, l.habits.guest = r.IntN(days), between(r, 14, 28)
	}
	if l.has(COPD) {
		l.Limits = map[string]Limits{"oxygen_saturation": l.ownSaturation()}
	}
	if l.has(AtrialFibrillation) {
		l.Limits = map[string]Limits{"heart_rate": l.ownPulse(111)} // lenient rate control, clinical/scores.md [M]
	}
}

// ill moves what is normal to what is usual with a condition that is treated.
func (n *normal) ill(r *rand.Rand, c Condition) {
	switch c {
	case Hypertension:
		n.systolic, n.unsteady, n.moment = around(r, 137, 6, 124, 148), around(r, 6, 1, 4, 8), around(r, 6, 0.7, 4.5, 7)
		if chance(r, 0.3) {
			n.whiteCoat = between(r, 6, 14)
		}
	case HeartFailure:
		n.systolic, n.pulse, n.unsteady, n.moment = around(r, 121, 5, 113, 132), around(r, 71, 5, 60, 80), 3.5, 3.2
		n.saturation, n.respiration, n.steps = around(r, 96.5, 0.3, 96, 97.2), around(r, 15.8, 0.7, 14, 17), n.steps*0.6
	case COPD:
		n.saturation, n.respiration = around(r, 92.6, 0.7, 91.2, 94), around(r, 16.8, 0.7, 15, 18.2)
		n.pulse, n.flow, n.steps = around(r, 76, 4, 66, 84), around(r, 210, 30, 130, 290), n.steps*0.6
	case Diabetes:
		n.fasting, n.meal = around(r, 120, 7, 104, 134), around(r, 40, 7, 25, 55)
	case AtrialFibrillation:
		n.pulse = around(r, 75, 6, 64, 86)
	case Frailty:
		n.systolic, n.unsteady, n.moment = around(r, 116, 3, 111, 122), 3.5, 3.2
		n.weight, n.steps, n.temperature = math.Max(38, n.weight*0.8), n.steps*0.35, n.temperature-0.1
		n.loss = between(r, 0.015, 0.04)
	}
}

// dryWeight is what a clinician would have agreed on with somebody who has heart failure, to 0.1 kg; 0 for others.
func (l *Life) dryWeight() float64 {
	if !l.has(HeartFailure) {
		return 0
	}
	return math.Round(l.normal.weight*10) / 10
}

// ownSaturation is the limit of somebody whose own normal lies below the default: three points below it are looked at
// (clinical/scores.md, section 5), and five are urgent [J].
func (l *Life) ownSaturation() Limits {
	usual := math.Floor(l.normal.saturation)
	return l.own(Bounds{"yellow_low": usual - 2, "red_low": usual - 4, "extreme_low": 80, "margin": 1}, "her or his own normal saturation is below the default limits")
}

func (l *Life) ownPulse(yellow float64) Limits {
	return l.own(Bounds{"extreme_low": 35, "red_low": 41, "yellow_low": 50, "yellow_high": yellow, "red_high": 131, "extreme_high": 150, "margin": 5},
		"atrial fibrillation under lenient rate control")
}

func (l *Life) own(b Bounds, reason string) Limits {
	return Limits{EffectiveFrom: l.known(), Reason: reason, Enabled: true, Components: []Bounds{b}, K: 1, N: 1, ClearAfter: 2}
}

// known is from when on the person's devices and limits are theirs: a day before the story, but not before 2015, from when
// on Hale takes readings and rules.
func (l *Life) known() time.Time {
	from, earliest := l.start.Add(-24*time.Hour), time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)
	if from.Before(earliest) {
		return earliest
	}
	return from
}

// days is the length of the story.
func (l *Life) days() int { return int(math.Ceil(l.end.Sub(l.start).Hours() / 24)) }

// dayOf is the number of the day of a time: the person's local dates, counted from that of the start.
func (l *Life) dayOf(t time.Time) int {
	a, b := l.start.In(l.Zone), t.In(l.Zone)
	from := time.Date(a.Year(), a.Month(), a.Day(), 12, 0, 0, 0, time.UTC)
	return int(math.Round(time.Date(b.Year(), b.Month(), b.Day(), 12, 0, 0, 0, time.UTC).Sub(from).Hours() / 24))
}

// clock is a time of day on the person's wall, in hours, as an instant of whole seconds.
func (l *Life) clock(day int, hours float64) time.Time {
	d := l.start.In(l.Zone)
	return time.Date(d.Year(), d.Month(), d.Day()+day, 0, 0, int(hours*3600), 0, l.Zone).UTC()
}

// folk draws a name, a sex and a home.
func folk(r *rand.Rand) (name, sex string, zone *time.Location) {
	type people struct {
		zone                string
		women, men, surname []string
	}
	countries := []people{
		{"Europe/Ljubljana", []string{"Ana", "Ivana", "Jožica", "Majda", "Vida", "Zofija"}, []string{"Franc", "Jože", "Marjan", "Stane", "Vinko", "Anton"}, []string{"Horvat", "Kovač", "Krajnc", "Mlakar", "Potočnik", "Zupan"}},
		{"Europe/Amsterdam", []string{"Johanna", "Cornelia", "Greetje", "Wilhelmina", "Hendrika", "Truus"}, []string{"Pieter", "Hendrik", "Willem", "Cornelis", "Gerrit", "Klaas"}, []string{"Bakker", "Jansen", "Visser", "Smit", "Meijer", "Mulder"}},
		{"Europe/Helsinki", []string{"Helvi", "Aili", "Kerttu", "Irja", "Lempi", "Sirkka"}, []string{"Veikko", "Toivo", "Eino", "Reino", "Onni", "Arvo"}, []string{"Virtanen", "Nieminen", "Mäkelä", "Laine", "Heikkinen", "Salo"}},
		{"Europe/Rome", []string{"Rosa", "Teresa", "Angela", "Lucia", "Assunta", "Ines"}, []string{"Antonio", "Salvatore", "Mario", "Luigi", "Enzo", "Carlo"}, []string{"Ferrari", "Esposito", "Bianchi", "Greco", "Conti", "Marino"}},
		{"Europe/Madrid", []string{"Josefa", "Pilar", "Dolores", "Consuelo", "Rosario", "Amparo"}, []string{"Manuel", "Jesús", "Ángel", "Vicente", "Rafael", "Ramón"}, []string{"Fernández", "Moreno", "Jiménez", "Ruiz", "Álvarez", "Navarro"}},
		{"Europe/Berlin", []string{"Ursula", "Helga", "Gerda", "Ingrid", "Hannelore", "Edith"}, []string{"Heinz", "Günter", "Karl", "Werner", "Horst", "Dieter"}, []string{"Müller", "Schmidt", "Fischer", "Weber", "Wagner", "Becker"}},
		{"Europe/London", []string{"Margaret", "Joan", "Doreen", "Sheila", "Betty", "Jean"}, []string{"Ronald", "Kenneth", "Derek", "Raymond", "Dennis", "Roy"}, []string{"Taylor", "Hughes", "Walker", "Green", "Clarke", "Patel"}},
		{"Europe/Lisbon", []string{"Maria", "Fernanda", "Deolinda", "Graça", "Odete", "Lurdes"}, []string{"Joaquim", "Fernando", "Armando", "Américo", "Domingos", "Artur"}, []string{"Silva", "Pereira", "Carvalho", "Lopes", "Teixeira", "Moreira"}},
	}
	home := countries[r.IntN(len(countries))]
	zone, err := time.LoadLocation(home.zone)
	if err != nil {
		zone = time.UTC // a machine without a zone database; hale carries its own
	}
	given := home.women
	sex = "female"
	if chance(r, 0.42) { // more women than men grow old
		given, sex = home.men, "male"
	}
	return given[r.IntN(len(given))] + " " + home.surname[r.IntN(len(home.surname))], sex, zone
}
