// One pass through the network: forward fills the columns one after the other, backward draws the rings.

import { colour } from "./colour.js";

const EACH = 650; // milliseconds from one column to the next
const HELD = 500; // at the loss, where it turns

let latest = 0; // a pass ends where another begins

/** Play one pass; where motion is not wanted, from column to column without anything that moves. */
export function passes(store, net) {
  const gaps = net.columns.length; // the last one leads to the loss
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const begun = performance.now();
  const mine = ++latest;
  const { run } = store.state;
  store.set({ pulse: 0, playing: false });
  function next(now) {
    if (mine !== latest || store.state.run !== run) return undefined; // whoever chose another run ended it
    if (store.state.playing) return store.set({ pulse: null });
    const spent = Math.max(0, now - begun);
    const forward = gaps * EACH;
    if (spent >= 2 * forward + HELD) return store.set({ pulse: null });
    const place = spent < forward ? spent / EACH : Math.max(gaps, (spent - HELD) / EACH);
    store.set({ pulse: still ? Math.floor(place) : place });
    return requestAnimationFrame(next);
  }
  requestAnimationFrame(next);
}

/** Show where a pass has come: 0 is the input, `columns` the loss, twice that the input again. */
export function drawPulse(pulse, parts, canvas, height) {
  const { columns, drawn, places, edges, end, across } = parts;
  const gaps = columns.length;
  drawn.forEach(({ group, pictures }, column) => {
    const unreached = pulse !== null && pulse < column;
    for (const element of [group, ...pictures.map(({ canvas }) => canvas)])
      element.classList.toggle("unreached", unreached);
    group.classList.toggle("unreturned", pulse !== null && pulse < 2 * gaps - column);
  });
  end.group.classList.toggle("unreached", pulse !== null && pulse < gaps);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, across, height);
  if (pulse === null || Number.isInteger(pulse)) return;
  const back = pulse >= gaps;
  const place = back ? 2 * gaps - pulse : pulse;
  const gap = Math.min(Math.floor(place), gaps - 1);
  flash(pen, linesOf(gap, places, edges, end), place - gap, colour(back ? "gradient" : "layer"));
}

/** The lines of a gap: its weights where they are drawn, else the wires. */
function linesOf(gap, places, edges, end) {
  if (gap < edges.length && edges[gap] !== null) return edges[gap].ends;
  const from = places[gap];
  const to = gap < edges.length ? places[gap + 1] : { x: end.x - 16, r: 0, ys: [end.y] };
  return from.ys.flatMap((y1) => to.ys.map((y2) => [from.x + from.r, y1, to.x - to.r, y2]));
}

function flash(pen, lines, share, tone) {
  const [tail, head] = [Math.max(0, share - 0.12), Math.min(1, share + 0.12)];
  pen.strokeStyle = tone;
  pen.lineWidth = lines.length > 60 ? 1.6 : 2.6;
  pen.lineCap = "round";
  pen.beginPath();
  for (const [x1, y1, x2, y2] of lines) {
    pen.moveTo(x1 + (x2 - x1) * tail, y1 + (y2 - y1) * tail);
    pen.lineTo(x1 + (x2 - x1) * head, y1 + (y2 - y1) * head);
  }
  pen.stroke();
}
