// Making elements. Text is always set as text: nothing from a trace is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) if (child !== null) element.append(child);
  return element;
}

/** Give an element these children in place of those it has. */
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity));
  return element;
}

/** A number on the page; `write` fills it. */
export function numeric(kind = "", of = "") {
  return html("data", { class: `number ${kind}`.trim(), "data-of": of || null });
}

/** Fit a drawing to a size in CSS pixels; the view box lets paper take it larger or smaller as a whole. */
export function fit(drawing, width, height) {
  drawing.setAttribute("width", width);
  drawing.setAttribute("height", height);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

/** Fit a canvas to a size in CSS pixels, sharp on every screen, and return its pen. */
export function penOf(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}
