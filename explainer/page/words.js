// Sentences and numbers as they are written on the page.

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const EXAMPLES = /^([\d,]+) examples$/; // what a surface says that its loss is the loss of
let sentences = {};
let language = "en";
let [point, group] = [".", ","]; // as numbers are written in the language

/** Write everything in a language, with its sentences. */
export function speak(texts, code) {
  [sentences, language] = [texts, code];
  const parts = new Intl.NumberFormat(code).formatToParts(12345.5);
  [point, group] = ["decimal", "group"].map((type) => parts.find((part) => part.type === type).value);
}

/** The sentence of a key, with words in braces filled in; a key without one is shown as it is. */
export function say(key, values = {}) {
  const sentence = sentences[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export function knows(key) {
  return key in sentences;
}

/** What a trace or a surface says of its data, in the page's language where that is known. */
export function ofData(words) {
  const [, count] = words.match(EXAMPLES) ?? [];
  if (count !== undefined) return say("examples", { count: count.replaceAll(",", group) });
  return sentences[`data: ${words}`] ?? words;
}

/** A count of things, in groups of three digits. */
export function counted(count) {
  return count.toLocaleString(language);
}

/** A number with the digits that count: four of them, fewer where there are no more. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return minus(counted(value));
  if (size < 1e-3 || size >= 1e5) return scientific(value, digits);
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return minus(fixed(value, Math.min(places, 6)));
}

/** A number at an axis: no digits that say nothing. */
export function tickNumber(value) {
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e5)) return scientific(value, 2).replace(/^1·/, "");
  return minus(String(Number(value.toPrecision(3))).replace(".", point));
}

function scientific(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 2).split("e");
  const raised = [...String(Number(exponent))].map((each) => SUPERSCRIPT[each]).join("");
  return `${minus(mantissa.replace(".", point))}·10${raised}`;
}

function minus(text) {
  return text.replace("-", "−");
}

/** A number with so many places behind the point. */
export function fixed(value, places) {
  return value.toFixed(places).replace(".", point);
}

export function percent(share) {
  if (share === null || Number.isNaN(share)) return "–";
  if (share > 0.9995 && share < 1) return `>${fixed(99.9, 1)}%`;
  return `${fixed(100 * share, share === 0 || share === 1 ? 0 : 1)}%`;
}

/** All digits of a number: the fewest that are read back as it, in its own precision. */
export function digits(value, single) {
  return fewest(value, single).replace(".", point);
}

function fewest(value, single) {
  if (!single || !Number.isFinite(value)) return String(value);
  for (let count = 6; count < 9; count++) {
    const shorter = Number(value.toPrecision(count));
    if (Math.fround(shorter) === value) return String(shorter);
  }
  return String(Number(value.toPrecision(9)));
}

let whole = false; // whether all digits are written

/** Write a number into an element: few digits for the eye, or all of them for who asked. */
export function write(element, value, single = false, short = number(value)) {
  const shown = whole && element instanceof HTMLElement ? digits(value, single) : short;
  if (element.lastShown !== shown) element.textContent = element.lastShown = shown;
  element.setAttribute("data-value", value);
  Object.assign(element, { single, short });
}

/** Write all digits of every number, or few again. */
export function writeAllDigits(wanted) {
  whole = wanted;
  for (const element of document.querySelectorAll("data[data-value]")) {
    write(element, Number(element.dataset.value), element.single, element.short);
  }
}

/** Tell all digits of a number that is pointed at. */
export function tellAllDigits() {
  document.addEventListener("pointerover", ({ target }) => {
    const element = target instanceof Element ? target.closest("data[data-value]") : null;
    if (element) element.title = digits(Number(element.dataset.value), element.single);
  });
}
