// The loss over the steps of a run, and of the other runs beside it.

import { bottomAxis, leftAxis, path, scale } from "./axes.js";
import { fit, html, numeric, replace, svg } from "./elements.js";
import { whenResized } from "./frame.js";
import { LOSS, standFor, showLit } from "./hover.js";
import { number, percent, say, write, knows } from "./words.js";

const HEIGHT = 330;
const SPREAD = 1e3; // from so many times the lowest loss on, the scale is logarithmic
const MARGIN = { left: 52, right: 14, top: 14, bottom: 26 };

export function lossView(lesson, store, picture) {
  const view = { lesson, store, lit: [], parts: null };
  view.runs = view.lesson.runs.filter((run) => run.loss.missing === undefined);
  view.values = html("p", { class: "values" });
  view.drawing = svg("svg", { role: "img", "aria-label": say("loss.picture") });
  picture.append(view.values, view.drawing);
  standFor(store, view.lit, view.drawing, [LOSS]);
  dragging(
    view.drawing,
    (x) =>
      view.parts && store.set({ step: nearest(current(view).steps.values, view.parts.across.back(x)), playing: false }),
  );
  whenResized(picture, (width) => layout(view, width));
  store.subscribe(["run"], () => view.parts && layout(view, Number(view.drawing.getAttribute("width"))));
  store.subscribe(["step"], () => step(view));
  store.subscribe(["hovered"], () => showLit(store.state.hovered, view.lit));
}

function current(view) {
  return view.lesson.runs[view.store.state.run];
}

function layout(view, width) {
  if (current(view).loss.missing !== undefined) return;
  fit(view.drawing, width, HEIGHT);
  const [right, bottom] = [width - MARGIN.right, HEIGHT - MARGIN.bottom];
  const steps = view.runs.flatMap((run) => [run.steps.values[0], run.steps.values.at(-1)]);
  const across = scale(Math.min(...steps), Math.max(...steps), MARGIN.left + 4, right);
  const up = heights(view.runs, bottom);
  const { nothing } = current(view).loss;
  const known = nothing !== null;
  const cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: bottom });
  const dot = svg("circle", { class: "dot loss", r: 5.5 });
  const curves = view.runs.map((run, index) =>
    svg("path", {
      class: `curve loss run-${index % 6}`,
      "data-run": index,
      d: curve(run.loss.loss, run, across, up),
    }),
  );
  replace(
    view.drawing,
    leftAxis(up, MARGIN.left, right, 4),
    bottomAxis(across, bottom, Math.max(2, Math.floor(width / 90)), true),
    known ? svg("line", { class: "baseline", x1: MARGIN.left, x2: right, y1: up(nothing), y2: up(nothing) }) : [],
    svg("g", { class: "others" }),
    svg("g", { class: "curves" }, curves),
    known ? nameOf(current(view).loss, up, right) : [],
    cursor,
    dot,
  );
  view.parts = { across, up, cursor, dot, curves, others: view.drawing.querySelector(".others") };
  chosen(view);
}

function chosen(view) {
  const { across, up, curves, others } = view.parts;
  view.runs.forEach((run, index) => {
    curves[index].classList.toggle("chosen", run === current(view));
    if (run === current(view)) curves[index].parentNode.append(curves[index]);
  });
  const { others: more = {}, accuracies = {} } = current(view).loss;
  replace(
    others,
    Object.values(more).map((each) => svg("path", { class: "curve other", d: curve(each, current(view), across, up) })),
  );
  const shown = [
    ["loss.of_batch", "loss"],
    ...Object.keys(more).map((name) => [name, `other ${name}`]),
    ...Object.keys(accuracies).map((name) => [name, `accuracy ${name}`]),
  ];
  replace(
    view.values,
    shown.map(([name, of]) =>
      html("span", { class: of.split(" ")[0] }, `${called(name)} `, numeric("", `loss.${of.split(" ").pop()}`)),
    ),
  );
  step(view);
}

function step(view) {
  if (!view.parts || current(view).loss.missing !== undefined) return;
  const { loss, others, accuracies } = current(view).loss;
  const at = view.store.state.step;
  const x = view.parts.across(current(view).steps.values[at]);
  const y = view.parts.up(loss.values[at]);
  view.parts.cursor.setAttribute("x1", x);
  view.parts.cursor.setAttribute("x2", x);
  view.parts.dot.setAttribute("cx", x);
  view.parts.dot.setAttribute("cy", Number.isFinite(y) ? y : MARGIN.top);
  for (const element of view.values.querySelectorAll("data")) {
    const name = element.dataset.of.slice("loss.".length);
    const column = name === "loss" ? loss : (others[name] ?? accuracies[name]);
    const value = column.values[at];
    const share = name in accuracies && !(value > 1); // before the first that was logged it is a dash
    write(element, value, column.single, share ? percent(value) : number(value));
  }
}

function called(name) {
  if (name === "loss.of_batch" || knows(`loss.${name}`)) return say(name === "loss.of_batch" ? name : `loss.${name}`);
  return name.replaceAll("_", " ");
}

/** One scale for the losses of all runs. */
function heights(runs, bottom) {
  let [low, high, least] = [Infinity, -Infinity, Infinity];
  for (const { loss } of runs) {
    const extra = loss.nothing === null ? [] : [loss.nothing];
    for (const column of [loss.loss.values, ...Object.values(loss.others).map((each) => each.values), extra]) {
      for (const value of column) {
        if (!Number.isFinite(value)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
        if (value > 0) least = Math.min(least, value);
      }
    }
  }
  if (!(low <= high)) [low, high] = [0, 1];
  const log = low >= 0 && Number.isFinite(least) && high >= SPREAD * least;
  if (log) return scale(least / 1.5 || least, Math.min(high * 1.5, Number.MAX_VALUE), bottom, MARGIN.top, true);
  return scale(low >= 0 ? 0 : low, low === high ? low + 1 : high * (high > 0 ? 1.06 : 1), bottom, MARGIN.top);
}

function curve(column, run, across, up) {
  const steps = run.steps.values;
  return path(
    (i) => across(steps[i]),
    (i) => up(column.values[i]),
    steps.length,
  );
}

/** What the dashed line is: over the curves, which may run along it; above the line where the chosen one ends there. */
function nameOf({ nothing, classes, loss }, up, right) {
  const words = say("loss.nothing", { classes, nothing: number(nothing, 5) });
  const [low, line, end] = [up(up.low), up(nothing), up(loss.values.at(-1))];
  const crowded = low - line <= 20 || (end > line - 3 && end < line + 26);
  return svg("text", { class: "note", x: right, y: crowded ? line - 6 : line + 15, "text-anchor": "end" }, words);
}

/** The place of the number nearest to one, in numbers that rise. */
export function nearest(values, wanted) {
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] <= wanted) low = middle;
    else high = middle;
  }
  return wanted - values[low] <= values[high] - wanted ? low : high;
}

/** Call with where the pointer is, in the element's own pixels, while it is down. */
export function dragging(element, moved) {
  const tell = (event) => moved(event.clientX - element.getBoundingClientRect().left, event.clientY, event);
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    tell(event);
  });
  element.addEventListener("pointermove", (event) => element.hasPointerCapture(event.pointerId) && tell(event));
}
