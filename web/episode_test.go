package web_test

import (
	"testing"
	"time"

	"hale/alerts"
	"hale/internal/browser"
	"hale/vital"
)

// longEpisode is an extreme alert that goes on with lesser readings, one every eight minutes.
func longEpisode(f furnished) vital.UID {
	uid := f.alarm(f.weak, alerts.Extreme, f.now.Add(-50*time.Minute), vital.RespiratoryRate, false, 36)
	for i := range 5 {
		at := f.now.Add(time.Duration(8*i-42) * time.Minute)
		f.log(uid, alerts.Entry{
			Kind: alerts.EntryOccurred, RecordedAt: at, Level: alerts.Red, Reading: alerts.Mark{At: at, ID: int64(800 + i)}, Values: []float64{float64(30 - i)}, RuleVersion: 1,
		})
	}
	return uid
}

func TestALongEpisodeStaysReadable(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	uid := longEpisode(f)
	nurse := visit(t, f.app(t), "mira")
	_, page := nurse.get("/alerts/" + string(uid))
	wants(t, page, "Respiratory rate worst 36 /min ( at 09:14 ), last 26 /min", "Red 5 further readings beyond the limit, 09:22 to 09:54", "Beyond a limit again: 30 /min")
	_, page = nurse.get("/")
	wants(t, page, "Respiratory rate worst 36 /min ( 50 min ago ), last 26 /min", "Oxygen saturation 82 %")
}

// chartsSayWhatTheyShow looks at a chart on a telephone: its words speak of the span that is drawn, and what is written
// on it is not cut off.
func chartsSayWhatTheyShow(t *testing.T, chromium *browser.Browser) {
	t.Helper()
	f := furnish(t)
	address := f.serve(t)
	for _, width := range []int{320, 390, 1280} {
		tab := chromium.Tab(t, width, 844)
		enter(tab, address, "mira")
		tab.Open(address + "/patients/" + string(f.ana.UID))
		tab.Until("the chart is drawn", `document.querySelector(".plot canvas")`)
		const pressed, words = `document.querySelector(".chart .ranges [aria-pressed=true]").textContent`, `document.querySelector(".chart details summary").textContent`
		if span, said := browser.Eval[string](tab, pressed), browser.Eval[string](tab, words); span != "7 d" || said != "The 7 days up to the newest reading, as a table" {
			t.Errorf("the chart shows %s, and below it stands %q", span, said)
		}
		browser.Eval[bool](tab, `(() => {
			window.written = [];
			const write = CanvasRenderingContext2D.prototype.fillText;
			CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
				if (/[≥<]/.test(text)) written.push({ text, y, over: x + this.measureText(text).width - this.canvas.width });
				return write.apply(this, arguments);
			};
			document.querySelector(".chart .ranges button:nth-child(3)").click();
			return true;
		})()`)
		tab.Until("the limits are named", `written.length > 2`)
		if cut := browser.Eval[string](tab, `written.filter(w => w.over > 0).map(w => w.text).join()`); cut != "" {
			t.Errorf("at %d pixels these words are cut off: %s", width, cut)
		}
		if far := browser.Eval[string](tab, `written.filter(w => /extreme sys <|red sys </.test(w.text)).map(w => w.text).join()`); far != "" {
			t.Errorf("what is far below the systolic curve is drawn across the diastolic one: %s", far)
		}
		tab.Until("who hears the chart is told what it shows", `document.querySelector(".chart .plot").getAttribute("aria-label").includes("readings, 22 Oct 2026")`)
		silent(t, tab)
	}
}
