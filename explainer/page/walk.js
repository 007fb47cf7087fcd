// A recorded walk over a picture of the surface: what was walked is a line, what is to come are dots.

const DARK = "#10131a";
const BRIGHT = "#fff";

/** Draw a walk up to a step; each point has a place, and may be hidden behind the mountain. */
export function drawWalk(pen, points, at, others, width, height) {
  pen.clearRect(0, 0, width, height);
  pen.lineJoin = pen.lineCap = "round";
  for (const other of others)
    stroke(pen, other, other.length, () => true, { colour: BRIGHT, width: 1.2, opacity: 0.6, dash: [] });
  stroke(pen, points, points.length, () => true, { colour: BRIGHT, width: 1.4, opacity: 0.9, dash: [0.5, 4] });
  stroke(pen, points, at + 1, (point) => point.hidden, { colour: BRIGHT, width: 1.6, opacity: 0.75, dash: [3, 4] });
  const seen = (point) => !point.hidden;
  stroke(pen, points, at + 1, seen, { colour: DARK, width: 5, opacity: 1, dash: [] });
  stroke(pen, points, at + 1, seen, { colour: BRIGHT, width: 2.6, opacity: 1, dash: [] });
  if (points.length && Number.isFinite(points[0].x)) ring(pen, points[0]);
}

/** Put the dot where the walk is now; nowhere where its weights are no numbers. */
export function moveDot(dot, point) {
  const known = point !== undefined && Number.isFinite(point.x) && Number.isFinite(point.y);
  dot.setAttribute("visibility", known ? "visible" : "hidden");
  if (!known) return;
  dot.setAttribute("cx", point.x);
  dot.setAttribute("cy", point.y);
}

function stroke(pen, points, count, wanted, { colour, width, opacity, dash }) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.globalAlpha = opacity;
  pen.setLineDash(dash);
  pen.beginPath();
  for (let i = 1; i < count; i++) {
    const [before, here] = [points[i - 1], points[i]];
    if (!wanted(here) || !Number.isFinite(before.x + before.y + here.x + here.y)) continue;
    if (i === 1 || !wanted(before)) pen.moveTo(before.x, before.y);
    else if (i > 1 && !Number.isFinite(points[i - 2].x + points[i - 2].y)) pen.moveTo(before.x, before.y);
    pen.lineTo(here.x, here.y);
  }
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

function ring(pen, { x, y }) {
  pen.strokeStyle = BRIGHT;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(x, y, 4, 0, 2 * Math.PI);
  pen.stroke();
}
