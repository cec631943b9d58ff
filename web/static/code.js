// A QR code's address holds the code behind the #, which no browser sends to anybody: it is put into the field here, and taken
// out of the address, so that it does not stay in the history. Nothing is sent before the person presses the button.
"use strict";
(() => {
  const field = document.getElementById("code");
  function take() {
    const code = location.hash.slice(1);
    if (!/^[0-9A-Za-z]{12}$/.test(code)) return;
    field.value = code.toUpperCase().replace(/(.{4})(?=.)/g, "$1-");
    history.replaceState(null, "", location.pathname);
    field.form.querySelector("button")?.focus();
  }
  addEventListener("hashchange", take);
  take();
})();
