// A lot drawn on a map. The field with its corners is what is sent: the map reads and writes it.
"use strict";
(() => {
  const box = document.getElementById("drawing");
  const field = document.getElementById("corners");
  if (!box || !field || !window.L) return;

  const STEP = 1, LEAP = 10;  // pixels that an arrow moves a corner, without and with Shift
  const MOST_BETWEEN = 150;   // corners up to which there is a handle on each edge
  const place = box.querySelector(".drawing");
  const status = document.getElementById("drawing-told");
  const words = {};
  for (const text of box.querySelectorAll("template[data-text]")) {
    words[text.dataset.text] = text.content.textContent;
  }
  const say = (name, facts = {}) =>
    words[name].replace(/\{(\w+)\}/g, (_, fact) => facts[fact]);
  const tell = (name, facts) => { status.textContent = say(name, facts); };

  // The map

  box.hidden = false;
  const still = document.getElementById("still");
  if (still) still.hidden = true;
  const map = L.map(place, {zoomControl: false, attributionControl: false, maxZoom: 22, keyboard: true});
  L.control.zoom({zoomInTitle: words.in, zoomOutTitle: words.out}).addTo(map);
  L.control.scale({imperial: false}).addTo(map);
  const credits = L.control.attribution({prefix: '<a href="https://leafletjs.com">Leaflet</a>'}).addTo(map);
  if (box.dataset.tiles) {
    // Leaflet drops a tile by giving it an empty picture, which the page's policy forbids.
    const Tiles = L.TileLayer.extend({
      _abortLoading() {
        for (const [key, tile] of Object.entries(this._tiles)) {
          if (tile.coords.z === this._tileZoom) continue;
          tile.el.onload = tile.el.onerror = null;
          if (!tile.el.complete) {
            tile.el.remove();
            delete this._tiles[key];
          }
        }
      },
      _removeTile(key) {
        const tile = this._tiles[key];
        if (!tile) return;
        tile.el.onload = tile.el.onerror = null;
        tile.el.remove();
        delete this._tiles[key];
      },
    });
    const credit = document.createElement("span");
    credit.textContent = box.dataset.attribution;
    new Tiles(box.dataset.tiles, {
      maxZoom: 22, maxNativeZoom: 19, referrerPolicy: "strict-origin", attribution: credit.innerHTML,
    }).addTo(map);
    place.classList.add("tiled");
  }
  const others = L.layerGroup().addTo(map);
  const shape = L.layerGroup().addTo(map);
  const handles = L.layerGroup().addTo(map);

  // What is drawn: parts, each a list of [latitude, longitude]

  let parts = [];
  let open = -1;        // the part that clicks go on with; -1: none
  let chosen = null;    // [part, corner]
  let drawn = [];       // the markers of the corners, by part
  let moving = null;    // the corner that arrows move: one step back undoes all of its way
  const before = [];    // what the field said, the newest last

  const NUMBER = "([-+]?\\d{1,3}(?:[.,]\\d{1,20})?)";
  const CORNER = new RegExp(`^${NUMBER}\\s*[;,\\s]\\s*${NUMBER}$`);
  function read(text) {
    const found = [[]];
    const lines = text.split("\n");
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i].trim();
      if (!line) {
        if (found.at(-1).length) found.push([]);
        continue;
      }
      const numbers = CORNER.exec(line);
      const [lat, lon] = numbers ? numbers.slice(1).map((n) => Number(n.replace(",", "."))) : [];
      if (!numbers || Math.abs(lat) > 90 || Math.abs(lon) > 180) return {bad: i + 1};
      found.at(-1).push([lat, lon]);
    }
    for (const part of found) {
      if (part.length > 3 && String(part[0]) === String(part.at(-1))) part.pop();
    }
    return {parts: found.filter((part) => part.length)};
  }
  const written = () => parts.filter((part) => part.length)
    .map((part) => part.map(([lat, lon]) => `${lat}, ${lon}`).join("\n")).join("\n\n");
  const at = ({lat, lng}) => [Number(lat.toFixed(6)), Number(lng.toFixed(6))];
  const all = () => parts.flat();

  // Changes go through here, so that each can be undone.
  function change(work) {
    before.push({text: field.value, open});
    work();
    field.value = written();
    draw();
  }

  function undo() {
    const last = before.pop();
    if (!last) return;
    field.value = last.text;
    open = last.open;
    chosen = null;
    take();
    tell("undone");
  }

  function take() {
    const found = read(field.value);
    if (found.bad) {
      tell("bad", {n: found.bad});
      return false;
    }
    parts = found.parts;
    if (open >= parts.length) open = -1;
    draw();
    return true;
  }

  // Drawing it

  function draw() {
    const focused = document.activeElement?.closest?.(".corner") ? chosen : null;
    const kept = moving;  // taking away what has the focus looks like leaving it
    shape.clearLayers();
    handles.clearLayers();
    drawn = [];
    const total = all().length;
    let n = 0;
    parts.forEach((part, p) => {
      const options = {className: "this-lot", interactive: false, fillRule: "nonzero"};
      const line = p === open ? L.polyline(part, options) : L.polygon(part, options);
      line.addTo(shape);
      drawn.push(part.map((corner, c) => {
        n += 1;
        return handle(p, c, n, total, line);
      }));
      if (total <= MOST_BETWEEN) {
        const edges = p === open ? part.length - 1 : part.length;
        for (let c = 0; c < edges && part.length > 1; c++) between(p, c);
      }
    });
    if (focused) focus(...focused);
    moving = kept;
    for (const button of box.querySelectorAll("button[data-do]")) {
      if (button.dataset.do === "draw") button.hidden = open >= 0;
      if (button.dataset.do === "finish") button.hidden = open < 0;
      if (button.dataset.do === "undo") button.disabled = !before.length;
      if (button.dataset.do === "fit") button.disabled = !total;
    }
  }

  function handle(p, c, n, total, line) {
    const isChosen = chosen && chosen[0] === p && chosen[1] === c;
    const marker = L.marker(parts[p][c], {
      draggable: true, keyboard: true, riseOnHover: true, zIndexOffset: 1000,
      icon: L.divIcon({className: isChosen ? "corner chosen" : "corner", iconSize: [24, 24]}),
    }).addTo(handles);
    const element = marker.getElement();
    element.setAttribute("aria-label", say("corner", {n, all: total}));
    element.addEventListener("focus", () => choose(p, c));
    element.addEventListener("keydown", (event) => onKey(event, p, c));
    marker.on("click", () => {
      if (open === p && c === 0 && parts[p].length > 2) finish();
      else { choose(p, c); element.focus({preventScroll: true}); }
    });
    marker.on("drag", () => {
      const corners = parts[p].slice();
      corners[c] = at(marker.getLatLng());
      line.setLatLngs(corners);
    });
    marker.on("dragend", () => change(() => {
      parts[p][c] = at(marker.getLatLng());
      chosen = [p, c];
    }));
    return marker;
  }

  function between(p, c) {
    const [from, to] = [parts[p][c], parts[p][(c + 1) % parts[p].length]];
    const middle = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
    const marker = L.marker(middle, {
      keyboard: false, draggable: true, title: words.between,
      icon: L.divIcon({className: "between", iconSize: [24, 24]}),
    }).addTo(handles);
    marker.getElement().setAttribute("aria-hidden", "true");
    const insert = () => change(() => {
      parts[p].splice(c + 1, 0, at(marker.getLatLng()));
      chosen = [p, c + 1];
    });
    marker.on("click", insert);
    marker.on("dragend", insert);
  }

  function choose(p, c) {
    if (chosen && chosen[0] === p && chosen[1] === c) return;
    chosen = [p, c];
    drawn.flat().forEach((marker) => marker.getElement().classList.remove("chosen"));
    drawn[p]?.[c]?.getElement().classList.add("chosen");
    report();
  }

  function report() {
    const [p, c] = chosen;
    const n = parts.slice(0, p).reduce((sum, part) => sum + part.length, 0) + c + 1;
    tell("chosen", {n, all: all().length, place: parts[p][c].join(", ")});
  }

  const focus = (p, c) => drawn[p]?.[c]?.getElement().focus({preventScroll: true});

  // What keys and buttons do

  const ARROWS = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]};
  function onKey(event, p, c) {
    const arrow = ARROWS[event.key];
    if (arrow && !event.ctrlKey && !event.altKey && !event.metaKey) {
      const far = event.shiftKey ? LEAP : STEP;
      const point = map.latLngToContainerPoint(parts[p][c]).add([arrow[0] * far, arrow[1] * far]);
      const moved = at(map.containerPointToLatLng(point));
      const isOn = moving && moving[0] === p && moving[1] === c;
      moving = [p, c];
      if (isOn) {
        parts[p][c] = moved;
        field.value = written();
        draw();
      } else {
        change(() => { parts[p][c] = moved; });
      }
      if (!map.getBounds().contains(moved)) map.panInside(moved, {padding: [40, 40], animate: false});
      report();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      remove(p, c);
    } else if (event.key === "+" || event.key === "Insert") {
      const next = parts[p][(c + 1) % parts[p].length];
      change(() => {
        parts[p].splice(c + 1, 0, at({lat: (parts[p][c][0] + next[0]) / 2, lng: (parts[p][c][1] + next[1]) / 2}));
        chosen = [p, c + 1];
      });
      focus(p, c + 1);
      report();
    } else if (event.key === "Enter" && open === p) {
      finish();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  function remove(p, c) {
    change(() => {
      parts[p].splice(c, 1);
      if (!parts[p].length) {
        parts.splice(p, 1);
        open = -1;
        chosen = null;
      } else {
        chosen = [p, Math.min(c, parts[p].length - 1)];
      }
    });
    if (chosen) focus(...chosen);
    tell("deleted", {n: all().length});
  }

  function add(corner) {
    change(() => {
      if (open < 0) {
        parts.push([]);
        open = parts.length - 1;
      }
      parts[open].push(corner);
      chosen = [open, parts[open].length - 1];
    });
    tell("drawing", {n: parts[open].length});
  }

  function finish() {
    const n = open >= 0 ? parts[open].length : 0;
    open = -1;
    draw();
    tell("closed", {n});
  }

  function fit() {
    const corners = all();
    if (corners.length) map.fitBounds(L.latLngBounds(corners).pad(0.3), {maxZoom: 19, animate: false});
  }

  const buttons = {
    draw() {
      parts = parts.filter((part) => part.length);
      parts.push([]);
      open = parts.length - 1;
      chosen = null;
      draw();
      tell("drawing", {n: 0});
    },
    finish,
    add() { add(at(map.getCenter())); focus(...chosen); },
    delete() { if (chosen) remove(...chosen); },
    undo,
    fit,
  };
  for (const button of box.querySelectorAll("button[data-do]")) {
    button.addEventListener("click", () => buttons[button.dataset.do]());
  }
  map.on("click", (event) => { if (open >= 0) add(at(event.latlng)); });
  box.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    undo();
  });
  // What comes next is another move.
  for (const kind of ["focusout", "mousedown"]) box.addEventListener(kind, (event) => {
    if (!event.relatedTarget?.closest?.(".corner")) moving = null;
  });
  let typed = null;
  field.addEventListener("focus", () => { typed = field.value; });
  field.addEventListener("input", () => {
    if (typed !== null) before.push({text: typed, open});
    typed = null;
    open = -1;
    chosen = null;
    if (take()) fit();
  });

  // To begin with

  map.setView([46, -72], 6);
  take();
  fit();
  if (!all().length) buttons.draw();
  fetch(box.dataset.lots, {headers: {Accept: "application/geo+json"}})
    .then((answer) => (answer.ok ? answer.json() : {features: []}))
    .then(({features}) => {
      const seen = features.filter((one) => one.geometry && one.id !== box.dataset.code);
      const layer = L.geoJSON(seen, {
        style: {className: "other-lot", weight: 1.5},
        onEachFeature(feature, lot) {
          const name = document.createElement("bdi");  // a name is text, whatever is in it
          name.textContent = `${feature.id} – ${feature.properties.name}`;
          lot.bindTooltip(name, {sticky: true});
          lot.on("add", () => lot.getElement().setAttribute("tabindex", "-1"));
        },
      });
      others.addLayer(layer);
      layer.bringToBack();
      if (!all().length && seen.length) {
        map.fitBounds(layer.getBounds().pad(0.1), {maxZoom: 18, animate: false});
      }
    })
    .catch(() => {});  // the other lots are there for orientation alone
})();
