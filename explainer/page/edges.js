// The weights between drawn units: colour says their sign, width how large they are.

import { colour } from "./colour.js";

const WIDTHS = 6;

/** Where each weight's line goes; null for a gap whose weights are not drawn. */
export function edgesOf(edges, places) {
  return edges.map((edge, gap) => {
    if (edge === null) return null;
    const [from, to] = [places[gap], places[gap + 1]];
    const ends = [];
    for (let j = 0; j < to.ys.length; j++) {
      for (let i = 0; i < from.ys.length; i++) ends.push([from.x + from.r, from.ys[i], to.x - to.r, to.ys[j]]);
    }
    return { ends, weights: edge.weights };
  });
}

/** Draw one step's weights, the faint ones first. */
export function drawEdges(pen, edges, at, width, height) {
  pen.clearRect(0, 0, width, height);
  for (const edge of edges) {
    if (edge === null) continue;
    const bins = sorted(edge, at);
    for (let bin = 0; bin < bins.length; bin++) {
      const size = (bin >> 1) / (WIDTHS - 1);
      pen.strokeStyle = colour(bin & 1 ? "positive" : "negative");
      pen.globalAlpha = 0.1 + 0.75 * size;
      pen.lineWidth = 0.5 + 2.2 * size;
      pen.beginPath();
      for (const [x1, y1, x2, y2] of bins[bin]) {
        pen.moveTo(x1, y1);
        pen.lineTo(x2, y2);
      }
      pen.stroke();
    }
  }
  pen.globalAlpha = 1;
}

function sorted({ ends, weights }, at) {
  const steps = weights.shape[2];
  const bins = Array.from({ length: 2 * WIDTHS }, () => []);
  for (let edge = 0; edge < ends.length; edge++) {
    const signed = weights.values[edge * steps + at] - 128;
    const width = Math.min(WIDTHS - 1, Math.floor((Math.abs(signed) / 128) * WIDTHS));
    bins[2 * width + (signed > 0 ? 1 : 0)].push(ends[edge]);
  }
  return bins;
}
