// How large the gradient is at each layer: bars for this step, and a map of all steps below.

import { leftAxis, scale } from "./axes.js";
import { blend, channels, colour } from "./colour.js";
import { fit, html, numeric, penOf, replace, svg } from "./elements.js";
import { whenResized } from "./frame.js";
import { choosing, isLit, showLit, standFor } from "./hover.js";
import { dragging, nearest } from "./loss.js";
import { number, say, write } from "./words.js";

const HEIGHT = 270;
const MARGIN = { left: 58, right: 8, top: 20, bottom: 22 };
const ROOM = 46; // pixels that a number needs
const LETTER = 7.5; // pixels, about
const SLANTED = { least: 13, letters: 14, room: 74 }; // names that stand aslant: of a bar's width, their length, below

export function flowView(lesson, store, picture) {
  const view = { lesson, store, lit: [], parts: null, width: 0 };
  view.title = html("p", { class: "values" });
  view.bars = svg("svg", { role: "group", "aria-label": say("flow.picture") });
  view.history = html("canvas", { role: "img", "aria-label": say("flow.history"), class: "history" });
  view.over = svg("svg", { class: "over", "aria-hidden": "true" });
  picture.append(view.title, view.bars, html("div", { class: "stack" }, view.history, view.over));
  dragging(
    view.over,
    (x) => view.parts && store.set({ step: nearest(run(view).steps.values, view.parts.along.back(x)), playing: false }),
  );
  whenResized(picture, (width) => layout(view, width));
  store.whenResting(() => tellAll(view));
  store.subscribe(["run", "scheme"], () => layout(view));
  store.subscribe(["step"], () => step(view));
  store.subscribe(["hovered"], () => hover(view));
}

function run(view) {
  return view.lesson.runs[view.store.state.run];
}

function layout(view, wide = view.width) {
  view.width = wide;
  const { flow } = run(view);
  view.lit = [];
  view.parts = null;
  view.bars.hidden = flow.missing !== undefined;
  if (flow.missing !== undefined || view.width === 0) return;
  const each = (view.width - MARGIN.left - MARGIN.right) / flow.layers.length;
  const slanted = each >= SLANTED.least && flow.layers.some(({ name }) => each < LETTER * Math.min(4, name.length));
  const bottom = HEIGHT - MARGIN.bottom;
  fit(view.bars, view.width, HEIGHT + (slanted ? SLANTED.room : 0));
  const [low, high] = flow.low === null ? [1, 1] : [flow.low, flow.high]; // no step has one above zero
  const up = scale(low / 1.6, high * 1.6, bottom, MARGIN.top, true);
  const drawn = flow.layers.map((layer, index) =>
    bar(layer, { left: MARGIN.left + index * each, each, bottom, slanted }, view.store, view.lit),
  );
  replace(
    view.bars,
    leftAxis(up, MARGIN.left, view.width - MARGIN.right, 4),
    drawn.map(({ group }) => group),
  );
  view.told = html("span", {}); // of the layer that is pointed at
  replace(view.title, html("span", { class: "gradient" }, say("flow.scale")), shareOf(flow), view.told);
  view.parts = { up, drawn, bottom, along: heat(view, flow), each };
  step(view);
  tellAll(view);
}

/** All steps at once: a row for each layer, the last one above, as bright as its gradient is large. */
function heat(view, { norms, layers, low, high }) {
  const steps = run(view).steps.values;
  const rows = Math.max(1.5, Math.min(24, 170 / layers.length));
  const height = Math.round(rows * layers.length);
  const [left, right] = [MARGIN.left, view.width - MARGIN.right];
  const pen = penOf(view.history, view.width, height);
  const tones = pixels(norms, low, high);
  pen.clearRect(0, 0, view.width, height);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(tones, left, 0, right - left, height);
  fit(view.over, view.width, height);
  const marks = [layers.length - 1, 0].filter((layer, place) => !place || layers.length > 1);
  replace(
    view.over,
    marks.map((layer) =>
      svg(
        "text",
        {
          class: "note",
          x: left - 6,
          "text-anchor": "end",
          y: (layers.length - 1 - layer + 0.5) * (height / layers.length),
          dy: "0.35em",
        },
        short(layers[layer].name, 7),
      ),
    ),
    svg("rect", { class: "row", x: left, width: right - left, height: height / layers.length, visibility: "hidden" }),
    svg("line", { class: "cursor", y1: 0, y2: height }),
  );
  return scale(
    steps[0],
    steps.at(-1),
    left + (right - left) / steps.length / 2,
    right - (right - left) / steps.length / 2,
  );
}

function step(view) {
  if (!view.parts) return;
  const { flow } = run(view);
  const at = view.store.state.step;
  view.parts.drawn.forEach((each, layer) => drawBar(each, flow, layer, at, view.parts));
  const share = view.title.querySelector("data");
  if (share) {
    write(share, flow.share.values[at], flow.share.single, number(flow.share.values[at], 3));
    share.parentElement.hidden = !Number.isFinite(flow.share.values[at]);
  }
  const x = view.parts.along(run(view).steps.values[at]);
  const cursor = view.over.lastChild;
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
}

function tellAll(view) {
  for (const { group } of view.parts?.drawn ?? []) group.setAttribute("aria-label", group.told);
}

function hover(view) {
  showLit(view.store.state.hovered, view.lit);
  const row = view.over.querySelector(".row");
  if (!row || !view.parts) return;
  const { layers } = run(view).flow;
  const place = layers.findIndex((layer) => isLit(view.store.state.hovered, new Set([layer.name])));
  view.told.textContent = place < 0 ? "" : view.parts.drawn[place].group.told;
  row.setAttribute("visibility", place < 0 ? "hidden" : "visible");
  row.setAttribute("y", (layers.length - 1 - place) * Number(row.getAttribute("height")));
}

function shareOf(flow) {
  if (flow.layers.length < 2) return html("span");
  const [before, after] = say("flow.share").split("{share}");
  return html("span", { class: "quiet" }, before, numeric("", "flow.share"), after);
}

function bar(layer, { left, each, bottom, slanted }, store, lit) {
  const middle = left + each / 2;
  const rect = svg("rect", {
    class: "bar",
    x: left + each * 0.12,
    width: Math.max(1, each * 0.76),
    y: bottom,
    height: 0,
  });
  const value = svg("text", { class: "value", x: middle, "text-anchor": "middle", "data-of": `flow.${layer.name}` });
  if (each < ROOM) value.setAttribute("class", "value unseen-text");
  const name = slanted ? aslant(layer.name, middle, bottom) : below(layer.name, middle, bottom, each);
  const group = svg(
    "g",
    { tabindex: 0, role: "img", class: "layer" },
    svg("rect", { class: "ground", x: left, width: each, y: 0, height: bottom + 20 }),
    rect,
    value,
    name,
  );
  standFor(store, lit, group, [layer.name]);
  choosing(store, group, [layer.name]);
  return { group, rect, value, layer };
}

function below(name, middle, bottom, each) {
  const letters = Math.floor(each / LETTER);
  const words = letters < Math.min(4, name.length) ? "" : short(name, letters);
  return svg("text", { class: "name", x: middle, y: bottom + 16, "text-anchor": "middle" }, words);
}

function aslant(name, middle, bottom) {
  const turned = `translate(${middle + 4} ${bottom + 10}) rotate(-50)`;
  return svg("text", { class: "name aslant", transform: turned, "text-anchor": "end" }, short(name, SLANTED.letters));
}

function drawBar({ group, rect, value, layer }, flow, index, at, { up, bottom }) {
  const [size, lost] = [flow.norms.at(index, at), flow.nonfinite.at(index, at)];
  const y = lost > 0 ? MARGIN.top : size > 0 ? Math.min(up(size), bottom - 1) : bottom; // as high as it goes
  rect.setAttribute("y", y);
  rect.setAttribute("height", bottom - y);
  const words = Number.isNaN(lost)
    ? say("flow.none", { reason: layer.missing || "–" })
    : lost > 0
      ? say("flow.nonfinite", { count: lost })
      : size === 0
        ? say("flow.zero")
        : "";
  write(value, size, flow.norms.single, Number.isNaN(lost) ? "–" : number(size, 3));
  rect.classList.toggle("lost", lost > 0);
  value.setAttribute("y", y - 5);
  group.told = `${layer.name}, ${layer.type}: ${words || number(size)}`;
}

function pixels(norms, low, high) {
  const [layers, steps] = norms.shape;
  const canvas = html("canvas", { width: steps, height: layers });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(steps, layers);
  const tones = Array.from({ length: 65 }, (_, tone) =>
    blend(colour("zero"), colour("gradient"), tone / 64)
      .match(/\d+/g)
      .map(Number),
  );
  const nothing = channels(colour("panel"));
  const span = Math.log(high / low) || 1;
  for (let layer = 0; layer < layers; layer++) {
    for (let step = 0; step < steps; step++) {
      const size = norms.at(layer, step);
      const share =
        size > 0 ? Math.round(64 * Math.min(1, Math.max(0, Math.log(size / low) / span))) : size === 0 ? 0 : -1;
      image.data.set([...(share < 0 ? nothing : tones[share]), 255], 4 * ((layers - 1 - layer) * steps + step));
    }
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** A name in so many letters at most. */
export function short(name, most) {
  if (name.length <= most) return name;
  return most < 3 ? name.slice(-most) : `…${name.slice(1 - most)}`;
}
