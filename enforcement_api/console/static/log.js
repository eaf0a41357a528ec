// What the log's page does besides: it works without it.
"use strict";

// Beside the list there is room for the facets; what is opened is counted then.
document.addEventListener("DOMContentLoaded", () => {
  const facets = document.querySelector("details.facets");
  if (facets && matchMedia("(min-width: 64rem)").matches) facets.open = true;
});

// A file that is being made tells how far it is: by an id that is made up here.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-export]");
  if (!link || !window.htmx) return;
  const made = crypto.getRandomValues(new Uint8Array(16));
  const id = Array.from(made, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const address = new URL(link.href);
  address.searchParams.set("export", id);
  link.href = address;
  htmx.ajax("GET", `${link.dataset.export}/${id}`, { target: "#exports", swap: "beforeend" });
});
