// The surface in three dimensions, turned by dragging: faces from back to front, the walk in front of them or hidden.

import { ramp } from "./colour.js";
import { fit, html, penOf, svg } from "./elements.js";
import { whenResized } from "./frame.js";
import { toneOf } from "./surface_scale.js";
import { drawWalk, moveDot } from "./walk.js";
import { say } from "./words.js";

export const TURN = -35;
export const TILT = 38;
const GROUND = "#868e9b"; // to be seen on dark and light
const LIFT = 0.75; // of the plane's width, that the highest loss stands above the lowest

export function mountainView(lesson, store, holder, walk) {
  const { surface } = lesson;
  const canvas = html("canvas", { role: "img", "aria-label": say("surface.mountain"), class: "turns" });
  const walks = html("canvas", { "aria-hidden": "true", class: "walks" });
  const dot = svg("circle", { class: "dot here", r: 6.5 });
  const over = svg("svg", { class: "over", "aria-hidden": "true" }, dot);
  const turn = slider("turn", -180, 180, store);
  const tilt = slider("tilt", 5, 85, store);
  holder.append(
    html("div", { class: "stack" }, canvas, walks, over),
    html("p", { class: "controls" }, turn.label, tilt.label),
  );
  const shape = faces(surface);
  let [view, size] = [null, [0, 0]];

  function draw() {
    if (!size[0]) return;
    view = projection(store.state, ...size);
    turn.show(store.state.turn);
    tilt.show(store.state.tilt);
    paint(penOf(canvas, ...size), shape, view, size);
    fit(over, ...size);
    place();
  }

  let points = [];
  function place() {
    const mine = walk();
    points = mine ? placed(mine, shape, view) : [];
    step();
  }

  function step() {
    if (!view) return;
    const at = Math.min(store.state.step, points.length - 1);
    drawWalk(penOf(walks, ...size), points, at, [], ...size);
    moveDot(dot, points[at]);
  }

  turnByDragging(over, store);
  whenResized(holder, (width) => {
    size = [width, Math.round(Math.min(width * 0.78, 340))];
    draw();
  });
  store.subscribe(["turn", "tilt"], draw);
  store.subscribe(["run"], () => view && place());
  store.subscribe(["step"], step);
}

function slider(name, low, high, store) {
  const input = html("input", { type: "range", min: low, max: high, step: 1, id: name });
  input.addEventListener("input", () => store.set({ [name]: Number(input.value) }));
  const show = (degrees) => {
    input.value = degrees;
    input.setAttribute("aria-valuetext", say("surface.degrees", { degrees: Math.round(degrees) }));
  };
  return { label: html("label", {}, `${say(`surface.${name}`)} `, input), show };
}

function turnByDragging(over, store) {
  let last = null;
  over.classList.add("turns");
  over.addEventListener("pointerdown", (event) => {
    over.setPointerCapture(event.pointerId);
    last = [event.clientX, event.clientY];
  });
  over.addEventListener("pointermove", (event) => {
    if (!last || !over.hasPointerCapture(event.pointerId)) return;
    const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
    last = [event.clientX, event.clientY];
    const around = store.state.turn + dx * 0.5;
    store.set({ turn: ((around + 540) % 360) - 180, tilt: Math.max(5, Math.min(85, store.state.tilt + dy * 0.4)) });
  });
  over.addEventListener("pointerup", () => (last = null));
}

/** The grid's points between −1 and 1, their heights, and the colour of each face. */
function faces(surface) {
  const { losses, u, v } = surface;
  const [rows, columns] = losses.shape;
  const tone = toneOf(surface);
  const heights = new Float32Array(rows * columns);
  for (let i = 0; i < heights.length; i++)
    heights[i] = losses.values[i] === losses.values[i] ? tone(losses.values[i]) / 255 : NaN;
  const xs = Float32Array.from(u.values, (each) => (2 * (each - u.values[0])) / (u.values.at(-1) - u.values[0]) - 1);
  const ys = Float32Array.from(v.values, (each) => (2 * (each - v.values[0])) / (v.values.at(-1) - v.values[0]) - 1);
  return { rows, columns, heights, xs, ys, colours: ramp(surface.heights), tone, surface };
}

/** From (x, y, height) to the picture, seen from a turn and a tilt, so large that it fills it at every turn. */
function projection({ turn, tilt }, width, height) {
  const [a, b] = [(turn * Math.PI) / 180, (tilt * Math.PI) / 180];
  const [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
  const [wide, high] = [Math.SQRT2, Math.SQRT2 * sb + LIFT * cb]; // half the room that it needs
  const unit = Math.min((width / 2 - 8) / wide, (height / 2 - 8) / high);
  const at = (x, y, z) => {
    const [right, deep, lift] = [x * ca - y * sa, x * sa + y * ca, (z - 0.5) * 2 * LIFT];
    return { x: width / 2 + right * unit, y: height / 2 - (lift * cb + deep * sb) * unit };
  };
  return { at, toEye: [-sa * cb, -ca * cb, sb / (2 * LIFT)], deepest: [sa, ca] };
}

function paint(pen, shape, view, [width, height]) {
  const { rows, columns, heights, xs, ys, colours } = shape;
  pen.clearRect(0, 0, width, height);
  const points = new Array(rows * columns);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) points[i] = view.at(xs[column], ys[row], heights[i]);
  }
  const [sa, ca] = view.deepest;
  const rowOrder = order(rows - 1, ca > 0);
  const columnOrder = order(columns - 1, sa > 0);
  base(pen, view);
  pen.lineWidth = 0.7;
  for (const row of rowOrder) {
    for (const column of columnOrder) face(pen, points, heights, colours, row, column, columns);
  }
}

/** The edges of the ground, at the lowest loss. */
function base(pen, view) {
  pen.strokeStyle = GROUND;
  pen.lineWidth = 1;
  pen.beginPath();
  [
    [-1, -1],
    [1, -1],
    [1, 1],
    [-1, 1],
  ].forEach(([x, y], corner) => {
    const [low, high] = [view.at(x, y, 0), view.at(x, y, 1)];
    if (corner) pen.lineTo(low.x, low.y);
    else pen.moveTo(low.x, low.y);
    pen.moveTo(low.x, low.y);
    pen.lineTo(high.x, high.y);
    pen.moveTo(low.x, low.y);
  });
  const first = view.at(-1, -1, 0);
  pen.lineTo(first.x, first.y);
  pen.stroke();
}

/** The far ones first. */
function order(count, falling) {
  return Array.from({ length: count }, (_, i) => (falling ? count - 1 - i : i));
}

function face(pen, points, heights, colours, row, column, columns) {
  const i = row * columns + column;
  const corners = [i, i + 1, i + columns + 1, i + columns];
  const height = (heights[corners[0]] + heights[corners[1]] + heights[corners[2]] + heights[corners[3]]) / 4;
  if (Number.isNaN(height)) return;
  const slope = (heights[i + columns + 1] - heights[i]) * columns * 0.16; // a little shade: colour stays the loss
  const shade = Math.max(0.82, Math.min(1.12, 1 + slope * 0.25));
  const [r, g, b] = colours[Math.round(height * 255)];
  const tone = `rgb(${Math.min(255, r * shade) | 0} ${Math.min(255, g * shade) | 0} ${Math.min(255, b * shade) | 0})`;
  pen.fillStyle = tone;
  pen.strokeStyle = tone;
  pen.beginPath();
  pen.moveTo(points[corners[0]].x, points[corners[0]].y);
  for (let corner = 1; corner < 4; corner++) pen.lineTo(points[corners[corner]].x, points[corners[corner]].y);
  pen.closePath();
  pen.fill();
  pen.stroke();
}

/** The walk in the picture, each point at its own true loss, and whether the mountain stands before it. */
function placed(walk, shape, view) {
  const { surface, tone } = shape;
  const span = (axis) => [axis.values[0], axis.values.at(-1) - axis.values[0]];
  const [[u0, du], [v0, dv]] = [span(surface.u), span(surface.v)];
  return Array.from(walk.u.values, (u, step) => {
    const x = (2 * (u - u0)) / du - 1;
    const y = (2 * (walk.v.values[step] - v0)) / dv - 1;
    const loss = walk.loss.values[step];
    const z = Number.isFinite(loss) ? tone(loss) / 255 : NaN;
    return { ...view.at(x, y, z), hidden: behind(shape, view.toEye, x, y, z) };
  });
}

/** Whether the way from a point to the eye goes through the mountain. */
function behind(shape, [dx, dy, dz], x, y, z) {
  for (let far = 0.06; far < 3; far += 0.04) {
    const [px, py] = [x + dx * far, y + dy * far];
    if (Math.abs(px) > 1 || Math.abs(py) > 1) return false;
    if (heightAt(shape, px, py) > z + dz * far + 0.02) return true;
  }
  return false;
}

function heightAt({ rows, columns, heights }, x, y) {
  const column = Math.round(((x + 1) / 2) * (columns - 1));
  const row = Math.round(((y + 1) / 2) * (rows - 1));
  return heights[row * columns + column];
}
