// What the console's pages do besides: they work without it.
"use strict";

// A menu closes when something else is touched, or with Escape.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A form that was sent is not sent again by a second press.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A link that is shown once is selected as a whole.
document.addEventListener("focusin", (event) => {
  if (event.target.matches("input.link")) event.target.select();
});

// The slash key goes to the search.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.getElementById("find");
  if (!search || event.target.matches("textarea, select, input:not([type=checkbox]):not([type=radio])")) return;
  event.preventDefault();
  search.focus();
  search.select();
});
