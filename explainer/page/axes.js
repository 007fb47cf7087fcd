// Scales and axes of pictures that have them.

import { svg } from "./elements.js";
import { tickNumber } from "./words.js";

/** From a number to a place, and back: linear or logarithmic. */
export function scale(low, high, from, to, log = false) {
  const turn = log ? Math.log : (x) => x;
  const [start, end] = [turn(low), turn(high)];
  const span = end - start || 1;
  const place = (value) => from + ((turn(value) - start) / span) * (to - from);
  place.back = (at) => {
    const found = start + ((at - from) / (to - from || 1)) * span;
    return log ? Math.exp(found) : found;
  };
  return Object.assign(place, { low, high, log });
}

/** Round numbers between two, about as many as asked for. */
export function ticks(low, high, most, log = false) {
  if (log) return decades(low, high, most);
  const rough = (high - low) / Math.max(most, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at++) found.push(at * step);
  return found;
}

function decades(low, high, most) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  if (last - first < 2) return within(low, high);
  const stride = Math.max(1, Math.ceil((last - first) / most));
  const found = [];
  for (let power = first; power <= last; power += stride) found.push(10 ** power);
  return found;
}

/** Round numbers of a logarithmic scale that has hardly a decade. */
function within(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    found.push(...[1, 2, 5].map((digit) => digit * 10 ** power).filter((tick) => tick >= low && tick <= high));
  }
  return found.length > 1 ? found : [low, high];
}

/** Lines and numbers at the left. */
export function leftAxis(place, left, right, count) {
  return ticks(Math.min(place.low, place.high), Math.max(place.low, place.high), count, place.log).map((tick) =>
    svg(
      "g",
      { class: "tick", transform: `translate(0 ${place(tick)})` },
      svg("line", { x1: left, x2: right, class: "grid" }),
      svg("text", { x: left - 6, dy: "0.35em", "text-anchor": "end" }, tickNumber(tick)),
    ),
  );
}

/** Numbers below. */
export function bottomAxis(place, bottom, count, whole = false) {
  const found = ticks(place.low, place.high, count).filter((tick) => !whole || Number.isInteger(tick));
  return found.map((tick) =>
    svg(
      "g",
      { class: "tick", transform: `translate(${place(tick)} ${bottom})` },
      svg("line", { y2: 4 }),
      svg("text", { y: 17, "text-anchor": "middle" }, tickNumber(tick)),
    ),
  );
}

/** The path of numbers over numbers; a gap where one is not finite, a dot where one stands alone. */
export function path(xs, ys, count) {
  let found = "";
  let down = false;
  for (let i = 0; i < count; i++) {
    const [x, y] = [xs(i), ys(i)];
    const known = Number.isFinite(x) && Number.isFinite(y);
    if (known) found += `${down ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}${down ? "" : "h0"}`;
    down = known;
  }
  return found;
}
