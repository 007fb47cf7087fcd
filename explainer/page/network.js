// The network as columns of units: activations as fill, gradients as rings, weights as lines, one pass as a pulse.

import { signed } from "./colour.js";
import { fit, html, numeric, penOf, replace, svg } from "./elements.js";
import { whenResized } from "./frame.js";
import { LOSS, choosing, showLit, standFor } from "./hover.js";
import { edgesOf, drawEdges } from "./edges.js";
import { lay, mapsOf, pictureOf } from "./pictures.js";
import { passes, drawPulse } from "./pulse.js";
import { short } from "./flow.js";
import { number, say, write } from "./words.js";

const HEIGHT = 350;
const TOP = 14;
const BOTTOM = 60;
const RIGHT = 184; // room for classes' names and the loss
const LETTERS = 7; // of a class's name, between the last column and the loss
const FEW = 2; // layers of a column that are named one by one; of more, the first and the last
const ROOMY = 46; // pixels from one unit to the next, from which on its numbers are written
const NARROWEST = 84; // pixels from one column to the next

export function networkView(lesson, store, picture) {
  const view = { lesson, store, lit: [], parts: null, width: 0 };
  view.values = html("p", { class: "values" });
  view.lines = html("canvas", { "aria-hidden": "true" });
  view.drawing = svg("svg", { role: "group", "aria-label": say("network.picture") });
  view.flashes = html("canvas", { "aria-hidden": "true", class: "flashes" });
  view.stack = html("div", { class: "stack" }, view.lines, view.drawing, view.flashes);
  view.readout = html("p", { class: "readout", "aria-live": "polite" });
  view.notes = html("p", { class: "note" });
  const button = html("button", { type: "button", onclick: () => passes(store, net(view)) }, say("network.play"));
  view.scroller = html("div", { class: "scroller", role: "group", "aria-label": say("network.picture") }, view.stack);
  picture.append(view.values, view.scroller, html("p", { class: "controls" }, button, view.readout), view.notes);
  whenResized(picture, (width) => layout(view, width));
  store.subscribe(["run", "scheme"], () => layout(view));
  store.subscribe(["step"], () => step(view));
  store.subscribe(["hovered"], () => showLit(store.state.hovered, view.lit));
  store.subscribe(["pulse"], () => view.parts && drawPulse(store.state.pulse, view.parts, view.flashes, HEIGHT));
}

function net(view) {
  return view.lesson.runs[view.store.state.run].network;
}

function layout(view, wide = view.width) {
  view.width = wide;
  view.parts = null;
  view.lit = [];
  if (net(view).missing !== undefined || view.width === 0) return;
  const { columns, edges } = net(view);
  const across = Math.max(view.width, NARROWEST * (columns.length - 1) + RIGHT);
  view.scroller.tabIndex = across > view.width ? 0 : -1;
  fit(view.drawing, across, HEIGHT);
  view.stack.style.width = `${across}px`;
  const places = columns.map((column, index) => placesOf(column, index, columns.length, across));
  const drawn = columns.map((column, index) =>
    drawColumn(column, places[index], (across - RIGHT) / (columns.length - 0.4), view.store, view.lit, (...unit) =>
      tell(view, ...unit),
    ),
  );
  const pictures = drawn.flatMap((each) => each.pictures);
  lay(pictures, across, HEIGHT);
  const end = loss(places.at(-1), across, view.lit, view.store);
  replace(
    view.drawing,
    skips(columns, places),
    wires(columns, edges, places, end),
    drawn.map(({ group }) => group),
    end.group,
  );
  view.parts = { columns, edges: edgesOf(edges, places), places, drawn, end, across, target: net(view).target };
  for (const old of view.stack.querySelectorAll(".picture-of")) old.remove();
  view.stack.append(...pictures.map(({ canvas }) => canvas));
  penOf(view.flashes, across, HEIGHT);
  describe(view);
  step(view);
}

function describe(view) {
  const { columns, target } = net(view);
  const [maps, summed] = [columns.some((each) => each.maps), columns.some((each) => each.summed && !each.maps)];
  const told = [say("network.scales"), maps ? say("network.maps") : "", summed ? say("network.summed") : ""];
  replace(view.notes, told.filter(Boolean).join(" "));
  replace(
    view.values,
    html("span", { class: "quiet" }, say("network.of_example"), " "),
    target ? html("span", { class: "quiet target" }) : "",
  );
  const known = view.lesson.runs[view.store.state.run].chain.missing === undefined;
  const hint = [say("network.hint"), known ? say("network.hint_chain") : ""].join(" ");
  replace(view.readout, html("span", { class: "quiet" }, hint));
}

function step(view) {
  if (!view.parts) return;
  const at = view.store.state.step;
  view.parts.columns.forEach((column, index) => paint(view.parts.drawn[index], column, at));
  const run = view.lesson.runs[view.store.state.run];
  if (run.loss.missing === undefined)
    write(view.parts.end.value, run.loss.loss.values[at], run.loss.loss.single, number(run.loss.loss.values[at], 3));
  const target = view.values.querySelector(".target");
  if (target)
    target.textContent = say("network.target", {
      target: nameOf(view.parts.columns.at(-1), view.parts.target.values[at]),
    });
  drawEdges(penOf(view.lines, view.parts.across, HEIGHT), view.parts.edges, at, view.parts.across, HEIGHT);
  if (view.parts.told) tell(view, ...view.parts.told);
}

/** Say the numbers of one unit. */
function tell(view, column, unit) {
  view.parts.told = [column, unit];
  const at = view.store.state.step;
  const last = column.classes !== undefined;
  const what = last
    ? say("network.probability", { class: column.classes[column.drawn.values[unit]] })
    : say("network.activation");
  const who = say("network.unit", { unit: column.drawn.values[unit], layer: titleOf(column) });
  const [value, gradient] = [numeric("positive", "network.value"), numeric("gradient", "network.gradient")];
  const found = column.values.at(unit, at);
  write(value, found, column.values.single, column.known.values[at] ? number(found) : "–"); // not kept is not NaN
  write(gradient, column.gradients.at(unit, at), column.gradients.single);
  const arriving = column.largest.gradients > 0 ? [`, ${say("network.gradient")} `, gradient] : [];
  replace(view.readout, html("span", { class: "quiet" }, `${who}: ${what} `), value, arriving);
}

/** Where a column's units stand. */
function placesOf(column, index, count, across) {
  const units = column.drawn.values.length;
  const room = HEIGHT - TOP - BOTTOM;
  const x = 34 + ((across - RIGHT) * index) / Math.max(1, count - 1) + (count === 1 ? across / 3 : 0);
  if (column.picture) {
    const r = across / count < 150 ? 24 : 52;
    return { x: x + r - 28, ys: [TOP + room / 2], r, picture: true };
  }
  const spacing = Math.min(room / units, 66);
  const ys = Array.from({ length: units }, (_, unit) => TOP + room / 2 + (unit - (units - 1) / 2) * spacing);
  if (column.maps) return { x, ys, ...sizeOfMaps(column.maps, spacing), picture: false, told: false };
  const told = spacing >= ROOMY && across / count > 150; // room for the numbers themselves
  const r = told ? Math.min(21, spacing * 0.42) : Math.max(3.5, Math.min(11, spacing * 0.36));
  return { x, ys, r, high: r, picture: false, told };
}

/** Half the width and half the height of a column's maps. */
function sizeOfMaps({ cells }, spacing) {
  const [, , rows, columns] = cells.shape;
  const high = Math.min(22, spacing * 0.5 - 4);
  const wide = Math.min(22, (high * columns) / rows);
  return { r: wide, high: (wide * rows) / columns };
}

function drawColumn(column, place, room, store, lit, tell) {
  const units = place.picture ? [] : place.ys.map((y, unit) => drawUnit(column, unit, place, y, tell));
  const title = svg(
    "text",
    { class: "name", x: place.x, y: HEIGHT - 40, "text-anchor": "middle" },
    short(titleOf(column), Math.max(3, Math.floor(room / 7))),
  );
  const types = svg(
    "text",
    { class: "note", x: place.x, y: HEIGHT - 24, "text-anchor": "middle" },
    short(typesOf(column), Math.max(3, Math.floor(room / 6.9))),
  );
  const shown =
    column.drawn.values.length < column.count && !place.picture
      ? say("network.units", { shown: column.drawn.values.length, count: column.count })
      : "";
  const below = shown || column.shape.join("×");
  const count = svg(
    "text",
    { class: "note", x: place.x, y: HEIGHT - 8, "text-anchor": "middle" },
    short(below, Math.max(3, Math.floor(room / 6.9))),
  );
  const ground = svg("rect", {
    class: "ground",
    x: place.x - place.r - 8,
    width: 2 * place.r + 16,
    y: 2,
    height: HEIGHT - 4,
    rx: 6,
  });
  const pictures = place.picture ? [pictureOf(column.picture, place)] : column.maps ? mapsOf(column.maps, place) : [];
  const label = say("network.column", { name: titleOf(column), type: column.type || column.kind, count: column.count });
  const group = svg(
    "g",
    { class: "column", tabindex: 0, role: "img", "aria-label": label },
    ground,
    units.map((unit) => unit.group),
    title,
    types,
    count,
  );
  standFor(store, lit, group, column.members);
  choosing(store, group, column.members);
  walkUnits(group, column, units, tell);
  return { group, units, pictures };
}

function titleOf(column) {
  if (column.name === "input") return say("network.input");
  const { members, title, type } = column;
  const joined = members.join(" → ");
  if (joined === "input" || joined === "loss") return title; // which says that this is a layer
  if (members.length <= FEW) return joined;
  return title === type ? `${members[0]} … ${members.at(-1)}` : title; // their names have nothing in common, or have
}

/** The beginning of a class's name where that tells it from the others, else its end. */
function shortClass(classes, place) {
  const begun = classes.map((name) => (name.length <= LETTERS ? name : `${name.slice(0, LETTERS - 1).trimEnd()}…`));
  return new Set(begun).size === classes.length ? begun[place] : short(classes[place], LETTERS);
}

function nameOf(column, place) {
  return column.classes ? (column.classes[place] ?? String(place)) : String(place);
}

function typesOf(column) {
  return column.types.length <= FEW + 1 ? column.types.join(" → ") : column.type;
}

function drawUnit(column, unit, place, y, tell) {
  const circle = outline(column, "unit", place, y, 0);
  const value = place.told
    ? svg("text", { class: "inside", x: place.x, y, dy: "0.35em", "text-anchor": "middle" })
    : null;
  const gradient = place.told
    ? svg("text", { class: "beside", x: place.x + place.r + 8, y: y - place.r + 4, dy: "0.35em" })
    : null;
  const bar = svg("line", { class: "minus", x1: place.x - place.r * 0.45, x2: place.x + place.r * 0.45, y1: y, y2: y });
  const ring = outline(column, "ring", place, y, 2);
  const named = column.classes
    ? svg(
        "text",
        { class: "name", x: place.x + place.r + 9, y: y + (place.told ? 8 : 0), dy: "0.35em" },
        shortClass(column.classes, column.drawn.values[unit]),
      )
    : null;
  const group = svg(
    "g",
    { "data-of": `network.${column.output}.${column.drawn.values[unit]}` },
    circle,
    place.told || column.maps ? null : bar,
    ring,
    value,
    gradient,
    named,
  );
  group.addEventListener("pointerenter", () => tell(column, unit));
  return { group, circle, bar, ring, value, gradient, set: {} };
}

/** What surrounds a unit at some distance: a circle, or a map's frame. */
function outline(column, kind, { x, r, high }, y, off) {
  if (!column.maps) return svg("circle", { class: kind, cx: x, cy: y, r: r + off });
  const [left, top] = [x - r - off, y - high - off];
  return svg("rect", { class: kind, x: left, y: top, width: 2 * (r + off), height: 2 * (high + off) });
}

/** Up and down choose a unit of the column that has focus. */
function walkUnits(group, column, units, tell) {
  let unit = -1;
  group.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by === undefined || !units.length) return;
    unit = (unit + by + units.length) % units.length;
    tell(column, unit);
    event.preventDefault();
  });
}

/** Fill a column with one step's numbers. */
function paint({ units, pictures }, column, at) {
  for (const picture of pictures) picture.paint(at);
  let widest = 0;
  for (let unit = 0; unit < units.length; unit++) {
    const size = Math.abs(column.gradients.at(unit, at));
    if (size > widest && size < Infinity) widest = size;
  }
  units.forEach((each, unit) => {
    const [value, gradient] = [column.values.at(unit, at), column.gradients.at(unit, at)];
    const share = widest > 0 && Number.isFinite(gradient) ? Math.abs(gradient) / widest : 0;
    set(each, each.circle, "fill", signed(value, column.largest.values));
    set(each, each.bar, "visibility", value < 0 ? "visible" : "hidden");
    set(each, each.ring, "stroke-width", share > 0 ? (0.4 + 3.4 * share).toFixed(1) : "0");
    set(each, each.ring, "stroke-dasharray", gradient < 0 ? "2.6 2" : "none");
    if (each.value) {
      write(each.value, value, column.values.single, column.known.values[at] ? number(value, 2) : "–");
      write(each.gradient, gradient, column.gradients.single, Number.isNaN(gradient) ? "" : number(gradient, 2));
    }
    each.group.setAttribute("data-value", value);
    each.group.setAttribute("data-gradient", gradient);
  });
}

/** Set an attribute that is not so already. */
function set(each, element, name, value) {
  if (each.set[name] !== value) element.setAttribute(name, (each.set[name] = value));
}

/** The loss at the right end, where the forward pass ends and the backward pass begins. */
function loss(last, across, lit, store) {
  const [x, y] = [across - 40, TOP + (HEIGHT - TOP - BOTTOM) / 2];
  const value = svg("text", { class: "value loss", x, y: y + 36, "text-anchor": "middle", "data-of": "network.loss" });
  const group = svg(
    "g",
    { class: "column end", tabindex: 0, role: "img", "aria-label": say("loss") },
    svg("rect", { class: "ground", x: x - 28, width: 56, y: y - 28, height: 72, rx: 6 }),
    svg("circle", { class: "unit of-loss", cx: x, cy: y, r: 16 }),
    svg("text", { class: "symbol", x, y, dy: "0.35em", "text-anchor": "middle" }, "ℓ"),
    value,
  );
  standFor(store, lit, group, [LOSS]);
  choosing(store, group, [LOSS]);
  return { group, value, x, y };
}

/** Where no weights are drawn one by one, a line says what feeds what. */
function wires(columns, edges, places, end) {
  const found = [];
  edges.forEach((edge, gap) => {
    if (edge !== null) return;
    const [from, to] = [places[gap], places[gap + 1]];
    const start = from.picture ? from.x + from.r + 4 : from.x + from.r + 3;
    for (const y of to.ys)
      found.push(
        svg("line", {
          class: "wire",
          x1: start,
          y1: from.picture ? from.ys[0] : middle(from),
          x2: to.x - to.r - 3,
          y2: y,
        }),
      );
  });
  const last = places.at(-1);
  for (const y of last.ys)
    found.push(svg("line", { class: "wire", x1: last.x + last.r + 3, y1: y, x2: end.x - 18, y2: end.y }));
  return found;
}

function middle(place) {
  return place.ys.reduce((sum, y) => sum + y, 0) / place.ys.length;
}

function skips(columns, places) {
  return columns.flatMap((column, to) =>
    column.skips.map(([start]) => {
      const [a, b] = [places[start].x, places[to].x];
      return svg("path", { class: "wire skip", d: `M${a} ${TOP} C${a} -1 ${b} -1 ${b} ${TOP}` });
    }),
  );
}
