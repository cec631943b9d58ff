// The code of a share stands behind the #, which no server is ever sent. It is put into the form, and taken out of the
// address, so that it stays in no history; somebody still has to press.
const code = document.getElementById("code");
if (code && location.hash.length > 1) {
  code.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}
const print = document.getElementById("print");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
