// Patrols: what renews itself stays where it is, and keeps quiet while nobody looks.
"use strict";

// A page that came of a form is left at another address: loading it again sends nothing again.
for (const one of document.querySelectorAll("[data-here]")) {
  history.replaceState(null, "", one.dataset.here);
}
for (const one of document.querySelectorAll("a.noscript")) one.hidden = true;

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});

// Tables keep their place from side to side.
let places = {};
document.addEventListener("htmx:beforeSwap", (event) => {
  places = {};
  for (const one of event.target.querySelectorAll(".scroll[id]")) places[one.id] = one.scrollLeft;
});
document.addEventListener("htmx:afterSwap", () => {
  for (const [id, left] of Object.entries(places)) {
    const one = document.getElementById(id);
    if (one) one.scrollLeft = left;
  }
  tell(false);
});

// That nothing comes any more is said, once.
function tell(isSilent) {
  for (const one of document.querySelectorAll("[data-unrenewed]")) one.hidden = !isSilent;
}
document.addEventListener("htmx:sendError", () => tell(true));
document.addEventListener("htmx:responseError", () => tell(true));

// How long a code is good for, by no clock but the time that has gone by.
for (const one of document.querySelectorAll("[data-seconds]")) {
  const until = performance.now() + 1000 * one.dataset.seconds;
  const count = () => {
    const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
    one.textContent = left
      ? one.dataset.left.replace("{minutes}", Math.floor(left / 60)).replace("{seconds}", left % 60)
      : one.dataset.over;
    if (left) setTimeout(count, 1000);
  };
  count();
}
