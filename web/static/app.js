// What every page does by script: say aloud when something a person did has not arrived.
"use strict";
(() => {
  const notices = document.getElementById("notice");

  function tell(text) {
    const p = document.createElement("p");
    p.className = "notice bad";
    p.textContent = text;
    notices.replaceChildren(p);
  }

  // A list that is fetched again by itself has its own way to say that it could not be.
  const acted = (event) => event.detail.requestConfig && event.detail.requestConfig.verb !== "get";

  // Our own answers to a fault name their place (HX-Retarget) or are a row with a message: those are shown. Whatever
  // else comes with an error status is not ours, and must not take the place of an alert.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (!acted(event)) return;
    const ours = xhr.getResponseHeader("HX-Retarget") === "#notice" || xhr.status === 409;
    if (xhr.status >= 400 && ours) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  // The button that was pressed is gone with its row: who works with the keyboard goes on from the same alert.
  document.addEventListener("htmx:afterSwap", (event) => {
    const [, id] = /^\/alerts\/([^/]+)\//.exec(event.detail.requestConfig?.path ?? "") ?? [];
    if (id && document.activeElement === document.body) document.getElementById("open-" + id)?.focus();
  });

  document.addEventListener("htmx:responseError", (event) => {
    if (acted(event)) tell("That was not done: the server answered with an error. Reload the page and look before you try again.");
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (acted(event)) tell("That may not have been done: the server cannot be reached. Reload the page and look before you try again.");
    });
  }
})();
