// Pictures that lie over the drawing of the network: its input, and the feature maps of a convolution's channels.

import { signedTones } from "./colour.js";
import { html } from "./elements.js";

/** The input as an image, grey or in colour, a pixel for each of its own. */
export function pictureOf({ tones }, place) {
  const [, rows, columns, depth = 1] = tones.shape;
  const size = 2 * place.r + 8;
  const found = picture(rows, columns, { x: place.x, y: place.ys[0], width: size, height: size });
  found.paint = (at) =>
    fill(found, (pixel) => {
      const from = (at * rows * columns + pixel) * depth;
      return [0, 1, 2].map((channel) => tones.values[from + (depth === 3 ? channel : 0)]);
    });
  return found;
}

/** A column's feature maps, one for each unit that is drawn, in the colours of activations. */
export function mapsOf({ cells }, place) {
  const [, units, rows, columns] = cells.shape;
  const size = rows * columns;
  return place.ys.map((y, unit) => {
    const found = picture(rows, columns, { x: place.x, y, width: 2 * place.r, height: 2 * place.high });
    found.paint = (at) => {
      const [from, tones] = [(at * units + unit) * size, signedTones()];
      fill(found, (pixel) => tones[cells.values[from + pixel]]);
    };
    return found;
  });
}

/** Lay pictures over a drawing, in shares of it: on paper both become larger or smaller. */
export function lay(pictures, across, high) {
  for (const { canvas, x, y, width, height } of pictures) {
    Object.assign(canvas.style, {
      left: `${(100 * (x - width / 2)) / across}%`,
      top: `${(100 * (y - height / 2)) / high}%`,
      width: `${(100 * width) / across}%`,
      height: `${(100 * height) / high}%`,
    });
  }
}

function picture(rows, columns, where) {
  const canvas = html("canvas", { width: columns, height: rows, class: "picture-of", "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  return { canvas, pen, image: pen.createImageData(columns, rows), ...where };
}

function fill({ pen, image }, toneOf) {
  for (let pixel = 0; 4 * pixel < image.data.length; pixel++) {
    const [red, green, blue] = toneOf(pixel);
    image.data.set([red, green, blue, 255], 4 * pixel);
  }
  pen.putImageData(image, 0, 0);
}
