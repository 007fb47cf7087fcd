// The loss around the weights as a map, with the recorded walk on it, and beside it the same as a mountain.

import { bottomAxis, leftAxis, scale } from "./axes.js";
import { ramp } from "./colour.js";
import { contour } from "./contours.js";
import { fit, html, numeric, penOf, replace, svg } from "./elements.js";
import { whenResized } from "./frame.js";
import { LOSS, standFor, showLit } from "./hover.js";
import { dragging } from "./loss.js";
import { mountainView } from "./mountain.js";
import { toneOf } from "./surface_scale.js";
import { drawWalk, moveDot } from "./walk.js";
import { counted, knows, number, ofData, percent, say, write } from "./words.js";

const MARGIN = { left: 46, right: 8, top: 8, bottom: 26 };

export function surfaceView(lesson, store, picture) {
  const view = { lesson, store, lit: [], parts: null };
  view.surface = lesson.surface;
  view.values = html("p", { class: "values" });
  view.map = html("canvas", { role: "img", "aria-label": say("surface.map") });
  view.over = svg("svg", { class: "over", "aria-hidden": "true" });
  view.walks = html("canvas", { "aria-hidden": "true", class: "walks" });
  view.stack = html("div", { class: "stack map" }, view.map, view.walks, view.over);
  const mountain = html("div", { class: "mountain" });
  view.notes = html("p", { class: "note" });
  picture.append(view.values, html("div", { class: "pair" }, view.stack, mountain), key(view.surface), view.notes);
  standFor(store, view.lit, view.stack, [LOSS]);
  dragging(
    view.over,
    (x, clientY) =>
      view.parts &&
      walk(view) &&
      store.set({
        step: closest(walk(view), view.parts, x, clientY - view.over.getBoundingClientRect().top),
        playing: false,
      }),
  );
  whenResized(view.stack, () => layout(view));
  mountainView(lesson, store, mountain, () => walk(view));
  store.subscribe(["run"], () => chosen(view));
  store.subscribe(["step"], () => step(view));
  store.subscribe(["hovered"], () => showLit(store.state.hovered, view.lit));
}

function walk(view) {
  return view.surface.walks[view.lesson.runs[view.store.state.run].name];
}

function layout(view) {
  const width = view.stack.clientWidth;
  if (width === 0) return;
  const height = Math.round(Math.min(width * 0.78, 340));
  const { u, v } = view.surface;
  const across = scale(u.values[0], u.values.at(-1), MARGIN.left, width - MARGIN.right);
  const up = scale(v.values[0], v.values.at(-1), height - MARGIN.bottom, MARGIN.top);
  paintMap(penOf(view.map, width, height), view.surface, across, up);
  fit(view.over, width, height);
  const dot = svg("circle", { class: "dot here", r: 7 });
  replace(
    view.over,
    leftAxis(up, MARGIN.left, MARGIN.left, 5),
    bottomAxis(across, height - MARGIN.bottom, Math.floor(width / 80)),
    dot,
  );
  view.parts = { across, up, dot, width, height };
  chosen(view);
}

function chosen(view) {
  if (!view.parts) return;
  const { across, up } = view.parts;
  const mine = walk(view);
  const drawn = (each) => Array.from(each.u.values, (u, i) => ({ x: across(u), y: up(each.v.values[i]) }));
  view.parts.others = Object.values(view.surface.walks)
    .filter((each) => each !== mine)
    .map(drawn);
  view.parts.points = mine ? drawn(mine) : [];
  const fields = [
    ["true", "loss"],
    ["plane_loss", "plane"],
    ["gap", "gap"],
    ["off", "off"],
  ];
  replace(
    view.values,
    mine
      ? fields.map(([name, of]) =>
          html(
            "span",
            { class: name === "true" ? "loss" : "" },
            `${say(`surface.${name}`)} `,
            numeric("", `surface.${of}`),
          ),
        )
      : say("surface.unknown"),
  );
  describe(view, mine);
  step(view);
}

function describe(view, mine) {
  const { data, evaluated, points, worst, plane, axes } = view.surface;
  const known = knows(`surface.plane_${plane}`) ? plane : "other";
  replace(
    view.notes,
    axes ? say("surface.plane_weights", { u: axes[0], v: axes[1] }) : say(`surface.plane_${known}`),
    " ",
    mine ? say("surface.captured", { captured: percent(mine.captured), data: ofData(data) || "–" }) : "",
    evaluated < points ? ` ${say("surface.interpolated", { evaluated: counted(evaluated), points: counted(points), worst: percent(worst) })}` : "",
  );
}

function step(view) {
  const mine = walk(view);
  if (!view.parts || !mine) return;
  const at = view.store.state.step;
  for (const element of view.values.querySelectorAll("data")) {
    const column = mine[element.dataset.of.slice("surface.".length)];
    write(element, column.values[at], column.single);
  }
  const { dot, points, others, width, height } = view.parts;
  drawWalk(penOf(view.walks, width, height), points, at, others, width, height);
  moveDot(dot, points[at]);
}

function paintMap(pen, surface, across, up) {
  const { losses, levels } = surface;
  const [rows, columns] = losses.shape;
  const canvas = html("canvas", { width: columns, height: rows });
  const inner = canvas.getContext("2d");
  const image = inner.createImageData(columns, rows);
  const [tone, colours] = [toneOf(surface), ramp(surface.heights)];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const found = tone(losses.at(row, column));
      if (found >= 0) image.data.set([...colours[found], 255], 4 * ((rows - 1 - row) * columns + column));
    }
  }
  inner.putImageData(image, 0, 0);
  const [left, right, top, bottom] = [across(across.low), across(across.high), up(up.high), up(up.low)];
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(canvas, 0.5, 0.5, columns - 1, rows - 1, left, top, right - left, bottom - top);
  const [wide, high] = [(right - left) / (columns - 1), (bottom - top) / (rows - 1)];
  pen.strokeStyle = "rgb(10 14 22 / 65%)";
  pen.lineWidth = 0.9;
  pen.beginPath();
  for (const level of levels.values) {
    for (const [x1, y1, x2, y2] of contour(losses, level)) {
      pen.moveTo(left + x1 * wide, bottom - y1 * high);
      pen.lineTo(left + x2 * wide, bottom - y2 * high);
    }
  }
  pen.stroke();
}

/** The colours' key: from the lowest loss to the highest. */
function key(surface) {
  const bar = html("canvas", { class: "key", width: 256, height: 1, "aria-hidden": "true" });
  const pen = bar.getContext("2d");
  ramp(surface.heights).forEach((each, tone) => {
    pen.fillStyle = `rgb(${each.join(" ")})`;
    pen.fillRect(tone, 0, 1, 1);
  });
  return html(
    "p",
    { class: "height-key note" },
    say(surface.log ? "surface.scale_log" : "surface.scale"),
    " ",
    html("span", {}, number(surface.low, 3)),
    bar,
    html("span", {}, number(surface.high, 3)),
  );
}

/** The step whose place on the map is nearest to a point of the picture. */
function closest(walk, { across, up }, x, y) {
  let [best, least] = [0, Infinity];
  for (let step = 0; step < walk.u.values.length; step++) {
    const far = (across(walk.u.values[step]) - x) ** 2 + (up(walk.v.values[step]) - y) ** 2;
    if (far < least) [best, least] = [step, far];
  }
  return best;
}
