// Charts of a patient's measurements. The numbers come from /v1/patients/{id}/series; the range ends at the newest
// reading, so that the chart of old data is not empty. What is drawn is also said in words and in a table on the page.
"use strict";
(() => {
  const HOUR = 3600e3, DAY = 24 * HOUR;
  const RANGES = [["24 h", DAY], ["7 d", 7 * DAY], ["30 d", 30 * DAY], ["90 d", 90 * DAY], ["All", 0]];
  const FIRST = Date.UTC(2015, 0, 1); // no reading is older: ingest refuses them
  const HEIGHT = 250; // CSS pixels
  const FONT = "system-ui, sans-serif";
  const UNITS = { "mm[Hg]": "mmHg", "Cel": "°C", "{steps}": "steps", "{score}": "of 10", "1": "" };
  const unit = (u) => UNITS[u] ?? u;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const round = (v) => String(Math.round(v * 100) / 100);

  class Chart {
    constructor(box) {
      this.box = box;
      this.plot = box.querySelector(".plot");
      this.said = box.querySelector(".said");
      this.end = Number(box.dataset.end);
      this.zone = box.dataset.zone;
      this.title = box.querySelector("h3").textContent;
      this.when = new Intl.DateTimeFormat("en-GB", { timeZone: this.zone, day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
      const ranges = box.querySelector(".ranges");
      this.buttons = RANGES.map(([text, span]) => {
        const b = document.createElement("button");
        b.type = "button";
        b.textContent = text;
        b.addEventListener("click", () => this.load(span, true));
        ranges.append(b);
        return [b, span];
      });
      ranges.hidden = this.plot.hidden = false;
      this.load(Number(box.dataset.days) * DAY, false); // the span of which the words and the table speak
    }

    async load(span, asked) {
      for (const [b, s] of this.buttons) b.setAttribute("aria-pressed", String(s === span));
      const turn = this.turn = (this.turn || 0) + 1;
      const from = span ? this.end - span : FIRST, to = this.end + 1000; // the end itself is not part of a span
      const query = new URLSearchParams({
        metric: this.box.dataset.metric, from: new Date(from).toISOString(), to: new Date(to).toISOString(), points: "600",
      });
      let data;
      try {
        const answer = await fetch(`/v1/patients/${this.box.dataset.patient}/series?${query}`, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(answer.status);
        data = await answer.json();
      } catch {
        if (turn === this.turn) this.said.textContent = "The chart could not be loaded. The table below still holds.";
        return;
      }
      if (turn !== this.turn) return; // a later button was faster
      this.data = data;
      this.from = span ? from : (data.points.length ? data.points[0].t : from);
      this.draw();
      const n = data.points.reduce((sum, p) => sum + p.n, 0);
      this.said.textContent = n ? (asked ? `${n} readings, ${this.when.format(this.from)} to ${this.when.format(this.end)}` : "")
        : "No readings in this span.";
      if (asked) this.plot.setAttribute("aria-label", `Chart: ${this.title}. ${this.said.textContent}`);
    }

    draw() {
      if (!this.data) return;
      this.chart?.destroy();
      this.plot.replaceChildren();
      if (this.data.points.length) this.chart = new uPlot(this.options(), this.columns(), this.plot);
    }

    // pairs are the components that share the axis: systolic and diastolic, or the only one. The pulse of a cuff has
    // another unit and is a metric of its own.
    shown() { return this.data.components.map((c, i) => i).filter((i) => this.data.components[i].unit === this.data.components[0].unit); }

    // kinds are the curves of a component. Where readings are gathered, the least and the most are drawn beside the mean:
    // a mean alone would hide the reading that matters.
    kinds() { return this.data.bucket_seconds > 0 ? ["avg", "min", "max"] : ["avg"]; }

    // columns puts a hole where nothing was measured for long: a line across it would claim what nobody knows.
    columns() {
      const points = this.data.points, width = this.data.bucket_seconds;
      const steps = points.slice(1).map((p, i) => p.t - points[i].t).sort((a, b) => a - b);
      const usual = steps.length ? steps[steps.length >> 1] : 0;
      const hole = Math.max(3 * usual, 3 * width * 1000, 36 * HOUR);
      const shown = this.shown();
      const kinds = this.kinds();
      const rows = [[], ...shown.flatMap(() => kinds.map(() => []))];
      let last = null;
      for (const p of points) {
        if (last !== null && p.t - last > hole) {
          rows[0].push((last + p.t) / 2000);
          rows.slice(1).forEach((r) => r.push(null));
        }
        rows[0].push(p.t / 1000);
        shown.forEach((c, k) => kinds.forEach((kind, j) => rows[1 + kinds.length * k + j].push(p[kind][c] ?? null)));
        last = p.t;
      }
      return rows;
    }

    options() {
      const shown = this.shown(), gathered = this.data.bucket_seconds > 0;
      const colours = [colour("--curve"), colour("--curve-2")];
      const series = [{ label: gathered ? "From" : "Measured", value: (u, t) => (t == null ? "–" : this.when.format(t * 1000)) }];
      const bands = [];
      shown.forEach((c, k) => {
        const part = this.data.components[c];
        const name = shown.length > 1 ? part.code : "value";
        const value = (u, v) => (v == null ? "–" : `${round(v)} ${unit(part.unit)}`);
        series.push({ label: gathered ? name + " mean" : name, stroke: colours[k], width: 1.5, value, points: { show: this.data.points.length < 120, size: 5, fill: colours[k] } });
        if (!gathered) return;
        for (const word of ["least", "most"]) series.push({ label: `${name} ${word}`, stroke: colours[k], width: 0.5, value, points: { show: false } });
        bands.push({ series: [3 + 3 * k, 2 + 3 * k], fill: colour("--band") });
      });
      if (shown.length > 1 && !gathered) bands.push({ series: [1, 2], fill: colour("--band") });
      const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 }, font: `12px ${FONT}` };
      const day = "\n{D} {MMM}", year = "\n{D} {MMM} {YYYY}";
      return {
        width: this.plot.clientWidth, height: HEIGHT, series, bands, padding: [null, this.gutter(), null, null],
        tzDate: (t) => uPlot.tzDate(new Date(t * 1000), this.zone),
        scales: { x: { range: () => this.span() }, y: { range: (u, lo, hi) => this.reach(lo, hi) } },
        axes: [
          { ...axis, space: 70, values: [
            [31536000, "{YYYY}", null, null, null, null, null, null, 1],
            [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
            [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
            [3600, "{HH}:{mm}", year, null, day, null, null, null, 1],
            [60, "{HH}:{mm}", year, null, day, null, null, null, 1],
          ] },
          { ...axis, size: (u, words) => 18 + this.widest(words || []) },
        ],
        cursor: { y: false, drag: { x: false, y: false } },
        hooks: { drawAxes: [(u) => this.limits(u)] },
      };
    }

    span() {
      const pad = Math.max((this.end - this.from) * 0.015, HOUR / 2);
      return [(this.from - pad) / 1000, (this.end + pad) / 1000];
    }

    // gutter is the width of what name writes beside the plot.
    gutter() {
      const words = this.bounds().filter((l) => l.to === Infinity).map((l) => l.text);
      return words.length ? this.widest(words) + 8 : null;
    }

    // widest is the width of the longest of the words, in CSS pixels.
    widest(words) {
      const ctx = document.createElement("canvas").getContext("2d");
      ctx.font = `11px ${FONT}`;
      return Math.ceil(Math.max(24, ...words.map((w) => ctx.measureText(w).width)));
    }

    // near reports whether a limit is so close to what was measured of its component that its line tells something; a
    // line of the others would be far from its curve, and perhaps across another. The extreme ones must be closest.
    near(level, c, at) {
      const low = Math.min(...this.data.points.map((p) => p.min[c] ?? Infinity)), high = Math.max(...this.data.points.map((p) => p.max[c] ?? -Infinity));
      const far = Math.max(high - low, 0.3 * Math.abs(high), 1) * (level === "extreme" ? 0.25 : 0.6);
      return at >= low - far && at <= high + far;
    }

    // bounds are the lines to draw: per span of time in which limits held, each with its level and words.
    bounds() {
      const spans = [...this.data.limits].sort((a, b) => Date.parse(a.from) - Date.parse(b.from));
      const shown = this.shown(), lines = [];
      spans.forEach((s, i) => {
        const from = Date.parse(s.from) / 1000, to = i + 1 < spans.length ? Date.parse(spans[i + 1].from) / 1000 : Infinity;
        (s.components || []).forEach((b, c) => {
          if (!shown.includes(c)) return;
          const name = shown.length > 1 ? this.data.components[c].code.slice(0, 3) + " " : "";
          for (const [side, sign] of [["low", "<"], ["high", "≥"]]) {
            let inner = true; // the first limit that a value would meet is always drawn
            for (const level of ["yellow", "red", "extreme"]) {
              const at = b[`${level}_${side}`];
              if (at == null) continue;
              if (inner || this.near(level, c, at)) lines.push({ level, at, from, to, second: c > 0, text: `${level} ${name}${sign} ${round(at)}` });
              inner = false;
            }
          }
        });
      });
      return lines;
    }

    // reach is the y axis: all values, and the limits that are drawn, so that the distance shows.
    reach(low, high) {
      if (low == null) return [0, 1];
      let [bottom, top] = [low, high];
      for (const l of this.bounds()) [bottom, top] = [Math.min(bottom, l.at), Math.max(top, l.at)];
      const pad = (top - bottom || 1) * 0.08;
      return [bottom - pad, top + pad];
    }

    limits(u) {
      const { ctx, bbox } = u, dpr = devicePixelRatio, edge = bbox.left + bbox.width;
      const dash = { yellow: [6, 4], red: [], extreme: [2, 3] };
      const words = [], drawn = [];
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      for (const l of this.bounds()) {
        let y = u.valToPos(l.at, "y", true);
        const left = Math.max(bbox.left, u.valToPos(l.from, "x", true));
        const right = l.to === Infinity ? edge : Math.min(edge, u.valToPos(l.to, "x", true));
        if (y < bbox.top || y > bbox.top + bbox.height || right <= left) continue;
        // Two that would be one thick line are drawn side by side; the words tell the numbers.
        while (drawn.some((d) => Math.abs(d.y - y) < 3 * dpr && d.left < right && d.right > left)) y += 3 * dpr;
        drawn.push({ y, left, right });
        ctx.strokeStyle = colour(l.second ? "--curve-2" : l.level === "yellow" ? "--yellow-edge" : "--red-edge");
        ctx.lineWidth = (l.level === "red" ? 1.5 : 1.25) * dpr;
        ctx.setLineDash(dash[l.level].map((n) => n * dpr));
        ctx.beginPath();
        ctx.moveTo(left, y);
        ctx.lineTo(right, y);
        ctx.stroke();
        if (right === edge) words.push({ y, text: l.text, ink: l.second ? "--curve-2" : l.level === "yellow" ? "--yellow" : "--red" }); // what holds at the end is named
      }
      ctx.restore();
      this.name(ctx, words, edge, bbox.top + bbox.height, dpr);
    }

    // name writes the words of the limits into the gutter, each near its line and none over another.
    name(ctx, words, edge, floor, dpr) {
      const line = 13 * dpr;
      words.sort((a, b) => a.y - b.y);
      words.forEach((w, i) => { if (i) w.y = Math.max(w.y, words[i - 1].y + line); });
      for (let i = words.length - 1, lowest = floor; i >= 0; i--, lowest -= line) words[i].y = Math.min(words[i].y, lowest);
      ctx.save();
      ctx.font = `${11 * dpr}px ${FONT}`;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      for (const w of words) {
        ctx.fillStyle = colour(w.ink);
        ctx.fillText(w.text, edge + 5 * dpr, w.y);
      }
      ctx.restore();
    }
  }

  const charts = [];
  const coming = new IntersectionObserver((entries) => {
    for (const e of entries) if (e.isIntersecting) {
      coming.unobserve(e.target);
      charts.push(new Chart(e.target));
    }
  }, { rootMargin: "300px" });
  document.querySelectorAll(".chart").forEach((box) => coming.observe(box));

  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    charts.forEach((c) => c.chart?.setSize({ width: c.plot.clientWidth, height: HEIGHT }));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((c) => c.draw()));
})();
