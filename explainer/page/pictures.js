// Pictures, a pixel for each number: images, and over the drawing of the network its input and feature maps.

import { signedTones } from "./colour.js";
import { html } from "./elements.js";

/** Paint one image of several, grey or in colour, a pixel for each of its own. */
export function paintImage(canvas, images, index) {
  const [, rows, columns, depth = 1] = images.shape;
  fill(canvas, rows, columns, (pixel) => {
    const from = (index * rows * columns + pixel) * depth;
    return [0, 1, 2].map((channel) => images.values[from + (depth === 3 ? channel : 0)]);
  });
}

/** The input as an image. */
export function pictureOf({ tones }, place) {
  const size = 2 * place.r + 8;
  const canvas = lying();
  const paint = (at) => paintImage(canvas, tones, at);
  return { canvas, paint, x: place.x, y: place.ys[0], width: size, height: size };
}

/** A column's feature maps, one for each unit that is drawn, in the colours of activations. */
export function mapsOf({ cells }, place) {
  const [, units, rows, columns] = cells.shape;
  const size = rows * columns;
  return place.ys.map((y, unit) => {
    const canvas = lying();
    const paint = (at) => {
      const [from, tones] = [(at * units + unit) * size, signedTones()];
      fill(canvas, rows, columns, (pixel) => tones[cells.values[from + pixel]]);
    };
    return { canvas, paint, x: place.x, y, width: 2 * place.r, height: 2 * place.high };
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

function lying() {
  return html("canvas", { class: "picture-of", "aria-hidden": "true" });
}

function fill(canvas, rows, columns, toneOf) {
  Object.assign(canvas, { width: columns, height: rows });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(columns, rows);
  for (let pixel = 0; pixel < rows * columns; pixel++) {
    const [red, green, blue] = toneOf(pixel);
    image.data.set([red, green, blue, 255], 4 * pixel);
  }
  pen.putImageData(image, 0, 0);
}
