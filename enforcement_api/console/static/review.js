// Keys of the queue and of an infraction; every key presses what a pointer could.
"use strict";
(() => {
  const rows = [...document.querySelectorAll("[data-row]")];
  const keys = document.getElementById("keys");

  const openRow = () => rows.findIndex((row) => row.contains(document.activeElement));
  const goTo = (n) => {
    const row = rows[Math.max(0, Math.min(n, rows.length - 1))];
    if (!row) return;
    for (const other of rows) other.classList.toggle("here", other === row);
    row.querySelector("[data-open]").focus();
    row.scrollIntoView({ block: "nearest" });
  };

  const press = (selector) => {
    const found = document.querySelector(selector);
    if (found) found.click();
    return Boolean(found);
  };

  const decide = (key) => {
    const part = document.querySelector(`.decide [data-key="${key}"]`);
    if (!part) return false;
    if (part.tagName === "DETAILS") {
      part.open = true;
      part.scrollIntoView({ block: "nearest" });
      part.querySelector("input:not([type=hidden]), textarea, button").focus();
      return true;
    }
    // What has to be ticked first is shown, not skipped.
    const unticked = part.querySelector("input[required]:not(:checked)");
    if (unticked) unticked.focus(); else part.requestSubmit();
    return true;
  };

  const chooseReason = (key) => {
    const open = document.querySelector('.decide details[data-key="v"][open]');
    const found = open && open.querySelectorAll("input[name=reason]")[Number(key) - 1];
    if (!found) return false;
    found.checked = true;
    found.focus();
    return true;
  };

  const zoom = (link) => {
    if (!link) return false;
    const image = link.querySelector("img");
    const isIn = link.classList.toggle("in");
    image.dataset.small = image.dataset.small || image.src;
    image.src = isIn ? link.href : image.dataset.small;
    return true;
  };

  const doing = {
    j: () => (rows.length ? (goTo(openRow() + 1), true) : press("[data-next]")),
    k: () => (rows.length ? (goTo(openRow() - 1), true) : press("[data-previous]")),
    x: () => {
      const row = rows[openRow()];
      if (row) row.querySelector("input[type=checkbox]").click();
      return Boolean(row);
    },
    c: () => decide("c"),
    v: () => decide("v"),
    a: () => decide("a"),
    o: () => decide("o"),
    u: () => {
      const form = document.getElementById("undo");
      if (form) form.requestSubmit();
      return Boolean(form);
    },
    z: () => zoom(document.querySelector("[data-zoom]")),
    "?": () => {
      keys.open = !keys.open;
      keys.scrollIntoView({ block: "nearest" });
      keys.querySelector("summary").focus();
      return true;
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = event.target;
    const isTyping = at.matches("textarea, select, input:not([type=checkbox]):not([type=radio])");
    if (event.key === "Escape" && at.closest("details[data-key]")) {
      const part = at.closest("details[data-key]");
      part.open = false;
      part.querySelector("summary").focus();
      return;
    }
    if (isTyping) return;
    const did = /^[1-9]$/.test(event.key)
      ? chooseReason(event.key)
      : Object.hasOwn(doing, event.key) && doing[event.key]();
    if (did) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-zoom]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    zoom(link);
  });

  const all = document.querySelector("[data-all]");
  if (all) {
    all.addEventListener("change", () => {
      for (const box of document.querySelectorAll("[data-row] input[type=checkbox]")) box.checked = all.checked;
    });
  }
})();
