// Colours by their meaning, as the style sheet has them for a light or a dark room.

let known = new Map();

/** Forget colours that were read: the room has become light, or dark. */
export function forgetColours() {
  known = new Map();
}

/** The colour of a meaning, such as "gradient". */
export function colour(name) {
  if (!known.has(name)) {
    known.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  }
  return known.get(name);
}

export function channels(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

export function blend(first, second, share) {
  const [one, other] = [channels(first), channels(second)];
  return `rgb(${one.map((each, at) => Math.round(each + (other[at] - each) * share)).join(" ")})`;
}

/** The fill of a signed number: blue above zero, vermilion below, fainter the nearer it is to zero. */
export function signed(value, largest) {
  if (!(largest > 0) || Number.isNaN(value)) return colour("zero");
  const share = Math.round(Math.min(1, Math.abs(value) / largest) * 64);
  const name = value > 0 ? "positive" : "negative";
  const key = `${name}${share}`;
  if (!known.has(key)) known.set(key, blend(colour("zero"), colour(name), share / 64));
  return known.get(key);
}

/** The fills of the tones 1 to 255, in which signed numbers are sent that are only drawn: zero is 128. */
export function signedTones() {
  const one = (tone) => signed((tone - 128) / 127, 1).match(/\d+/g).map(Number);
  if (!known.has("tones")) known.set("tones", Array.from({ length: 256 }, (_, tone) => one(tone)));
  return known.get("tones");
}

/** A row of 256 colours between stops, as [red, green, blue]. */
export function ramp(stops) {
  const found = [];
  for (let tone = 0; tone < 256; tone++) {
    const place = (tone / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    const [one, other] = [channels(stops[below]), channels(stops[below + 1])];
    found.push(one.map((each, at) => Math.round(each + (other[at] - each) * (place - below))));
  }
  return found;
}
