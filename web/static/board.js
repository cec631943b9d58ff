// The board, live: whatever the feed says, the list is fetched again through htmx, at most four times a second and at
// least every half minute. The line beside the title tells the truth about it.
"use strict";
(() => {
  const EVERY = 250, AT_LEAST = 30000, STALE = 45000, RETRY = 5000, HOLD = 1500; // ms
  const list = document.getElementById("worklist");
  const live = document.getElementById("live");
  const summary = document.getElementById("summary");

  let feedState = "connecting";
  let failing = false;      // the last try to fetch the list failed
  let fetched = Date.now(); // when the list was last known to be current
  let asked = 0;            // when it was last asked for
  let pending = 0;          // timer of the next request
  let acts = 0;             // acts on their way: the rows that they will change must stay
  let heldUntil = 0;        // nothing moves under a finger or a pointer about to press
  let seen = keys();
  let shown = "";

  function keys() { return new Set([...list.querySelectorAll(".row")].map((row) => row.dataset.key)); }

  function refresh() {
    if (pending || feedState === "refused") return; // the list would be refused as well, again and again
    const wait = Math.max(asked + EVERY, heldUntil) - Date.now();
    pending = setTimeout(() => {
      pending = 0;
      if (Date.now() < heldUntil) return refresh();
      asked = Date.now();
      htmx.trigger(list, "refresh");
    }, Math.max(0, wait));
  }

  // A list that moves while somebody presses a button would let them acknowledge for another patient.
  list.addEventListener("pointerover", (e) => { if (e.target.closest("button, .button")) heldUntil = Date.now() + HOLD; });
  list.addEventListener("pointerdown", () => { heldUntil = Date.now() + HOLD; });

  list.addEventListener("htmx:beforeSwap", (e) => {
    if (e.detail.target !== list || e.detail.xhr.status !== 200) return;
    fetched = Date.now();
    failing = false;
    seen = keys();
    if (e.detail.serverResponse === shown) e.detail.shouldSwap = false;
    else if (acts > 0 || Date.now() < heldUntil) { e.detail.shouldSwap = false; refresh(); }
    else shown = e.detail.serverResponse;
    say();
  });

  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    list.addEventListener(name, (e) => {
      if (isAct(e)) return;
      failing = true;
      say();
      setTimeout(refresh, RETRY);
    });
  }

  const isAct = (e) => e.detail.requestConfig && e.detail.requestConfig.verb !== "get";
  document.addEventListener("htmx:beforeRequest", (e) => { if (isAct(e)) acts++; });
  document.addEventListener("htmx:afterRequest", (e) => { if (isAct(e)) acts = Math.max(0, acts - 1); });

  document.addEventListener("htmx:afterSwap", (e) => {
    if (e.detail.target !== list) { shown = ""; refresh(); return; } // a row was acted on: it may belong elsewhere now
    const said = list.querySelector("[data-summary]").dataset.summary;
    if (summary.textContent !== said) summary.textContent = said;
    for (const row of list.querySelectorAll(".row")) if (!seen.has(row.dataset.key)) row.classList.add("fresh");
  });

  function say() {
    const stale = Date.now() - fetched > STALE;
    const since = new Date(fetched).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
    const [state, text] = feedState === "signed out" ? ["broken", "Signed out. Reload the page to sign in again."]
      : feedState === "refused" ? ["broken", "You may not see these alerts any more. Reload the page."]
      : stale || failing ? ["broken", `Not current: as of ${since}. Trying again…`]
      : feedState === "live" ? ["live", "Live"]
      : ["wait", feedState === "connecting" ? "Connecting…" : `Reconnecting… current as of ${since}`];
    if (live.dataset.state !== state) live.dataset.state = state;
    const line = live.querySelector(".text");
    if (line.textContent !== text) line.textContent = text;
  }

  function hear({ state, news }) {
    if (state) {
      feedState = state;
      if (state === "live") refresh();
      say();
    }
    if (news) refresh();
  }

  function ownFeed() {
    const script = document.createElement("script");
    script.src = live.dataset.feed;
    script.onload = () => new HaleFeed(hear);
    document.head.append(script);
  }

  function connect() {
    if (!("SharedWorker" in window)) return ownFeed();
    let worker;
    try { worker = new SharedWorker(live.dataset.feed, { name: "hale-" + live.dataset.session }); } catch { return ownFeed(); }
    worker.onerror = ownFeed;
    worker.port.onmessage = ({ data }) => hear(data);
    window.addEventListener("pagehide", () => worker.port.postMessage("bye"));
  }

  // A page that comes back out of the browser's memory has missed what happened meanwhile, and its worker has let go.
  window.addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  setInterval(refresh, AT_LEAST);
  setInterval(say, 1000);
  say();
  connect();
})();
