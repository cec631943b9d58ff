// The live feed (/v1/feed, server-sent events). As a SharedWorker it is one connection for all tabs of a person; where
// there are no shared workers the page runs the same code. It reads the stream itself instead of through EventSource,
// because only so it sees the heartbeats: a connection that is silent for longer than two of them is dead, whatever the
// browser believes.
"use strict";

class HaleFeed {
  static SILENCE = 12000; // ms; a heartbeat comes every 5 s
  static PAUSES = [500, 1000, 2000, 4000, 8000];

  constructor(tell) {
    this.tell = tell; // called with {state} or {news}; the states are connecting, live, reconnecting, signed out and refused
    this.state = "connecting";
    this.last = "";
    this.failures = 0;
    this.run();
  }

  say(state) {
    if (state === this.state) return;
    this.state = state;
    this.tell({ state });
  }

  async run() {
    for (;;) {
      const ended = await this.listen().catch(() => "lost");
      if (ended === "signed out" || ended === "refused") { this.say(ended); return; } // asking again would be answered the same
      this.say("reconnecting");
      const pause = HaleFeed.PAUSES[Math.min(this.failures++, HaleFeed.PAUSES.length - 1)];
      await new Promise((done) => setTimeout(done, pause * (0.75 + Math.random() / 2)));
    }
  }

  async listen() {
    const abort = new AbortController();
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), HaleFeed.SILENCE);
    };
    alive();
    try {
      const headers = { Accept: "text/event-stream" };
      if (this.last) headers["Last-Event-ID"] = this.last;
      const answer = await fetch("/v1/feed", { headers, signal: abort.signal, cache: "no-store", credentials: "same-origin" });
      if (answer.status === 401) return "signed out";
      if (answer.status === 403) return "refused"; // signed in, and may not hear of alerts any more
      if (!answer.ok) return "lost";
      this.failures = 0;
      this.say("live");
      await this.read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), alive);
      return "lost";
    } finally {
      clearTimeout(watchdog);
    }
  }

  async read(reader, alive) {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("id:")) this.last = line.slice(3).trim();
        else if (line.startsWith("event:")) this.tell({ news: line.slice(6).trim() });
      }
    }
  }
}

if (typeof SharedWorkerGlobalScope !== "undefined" && self instanceof SharedWorkerGlobalScope) {
  const tabs = new Set();
  let feed;
  self.onconnect = (event) => {
    const tab = event.ports[0];
    tabs.add(tab);
    tab.onmessage = ({ data }) => { if (data === "bye") tabs.delete(tab); };
    // A page that was loaded anew asks once more whether the person may hear of alerts.
    if (!feed || feed.state === "refused") feed = new HaleFeed((message) => tabs.forEach((t) => t.postMessage(message)));
    tab.postMessage({ state: feed.state });
  };
}
