// The one clock: which recorded step every picture shows.

import { html, numeric } from "./elements.js";
import { number, say, write } from "./words.js";

const SPEEDS = [0.5, 1, 2, 4];
const WHOLE = 15000; // milliseconds that a run takes at speed 1, at least SLOWEST steps a second
const SLOWEST = 6;
const LONGEST = 250; // milliseconds between two frames: a longer pause was a window out of sight, and is no time

export function clock(lesson, store) {
  const bar = parts();
  const { slider, play, speed } = bar;
  slider.addEventListener("input", () => store.set({ step: Number(slider.value), playing: false }));
  play.addEventListener("click", () => toggle(store, length(lesson, store)));
  speed.addEventListener("change", () => store.set({ speed: Number(speed.value) }));
  const draw = () => show(bar, lesson, store);
  store.subscribe(["step", "run"], draw);
  store.subscribe(["playing"], () => {
    nameOfPlay(play, store.state.playing);
    if (store.state.playing) run(store, () => length(lesson, store));
  });
  store.whenResting(() => store.state.playing || announce(bar, lesson, store));
  nameOfPlay(play, false);
  return { element: bar.element, draw };
}

function parts() {
  const slider = html("input", { type: "range", min: 0, step: 1, value: 0, id: "slider", "aria-label": say("slider") });
  const play = html("button", { type: "button", class: "play" }, html("span", { "aria-hidden": "true" }, "▶"));
  const [step, loss] = [numeric("step", "clock.step"), numeric("loss", "clock.loss")];
  const last = html("span", { class: "quiet" });
  const options = SPEEDS.map((each) => html("option", { value: each, selected: each === 1 }, `${each}×`));
  const speed = html("select", { id: "speed" }, options);
  const status = html("output", { class: "unseen", "aria-live": "polite" });
  const quiet = (word) => html("span", { class: "quiet" }, `${say(word)} `);
  const element = html(
    "section",
    { class: "clock", "aria-label": say("clock"), id: "clock" },
    play,
    html("div", { class: "time" }, quiet("step"), step, last),
    slider,
    html("div", { class: "now" }, quiet("loss"), loss),
    html("label", { class: "speed" }, quiet("speed"), speed),
    status,
  );
  return { element, slider, play, step, loss, last, speed, status };
}

function nameOfPlay(play, playing) {
  const word = say(playing ? "pause" : "play");
  play.firstChild.textContent = playing ? "❚❚" : "▶";
  play.setAttribute("aria-label", word);
  play.title = word;
}

function length(lesson, store) {
  return lesson.runs[store.state.run].steps.values.length;
}

function show({ slider, step, loss, last }, lesson, store) {
  const run = lesson.runs[store.state.run];
  const { values } = run.steps;
  const at = store.state.step;
  slider.max = values.length - 1;
  slider.value = at;
  write(step, values[at], false, String(values[at]));
  last.textContent = ` / ${values[values.length - 1]}`;
  if (run.loss.missing === undefined) write(loss, run.loss.loss.values[at], run.loss.loss.single);
  slider.setAttribute("aria-valuetext", told(lesson, store));
}

/** The step and its loss in words. */
function told(lesson, store) {
  const run = lesson.runs[store.state.run];
  const { values } = run.steps;
  const now = run.loss.missing === undefined ? number(run.loss.loss.values[store.state.step]) : say("loss.none");
  return say("slider_value", { step: values[store.state.step], last: values[values.length - 1], loss: now });
}

/** Tell who does not see it where the clock has come to rest. */
function announce({ status }, lesson, store) {
  const words = told(lesson, store);
  if (status.textContent !== words) status.textContent = words;
}

/** Begin or stop; at the end, begin again. */
function toggle(store, length) {
  const { playing, step } = store.state;
  store.set({ playing: !playing, step: !playing && step === length - 1 ? 0 : step });
}

let latest = 0;

function run(store, length) {
  const mine = ++latest; // stopped and begun again within a frame, it is another's turn
  let place = store.state.step;
  let before = performance.now();
  function next(now) {
    if (!store.state.playing || mine !== latest) return;
    if (Math.floor(place) !== store.state.step) place = store.state.step; // somebody moved the clock
    const rate = (store.state.speed * Math.max(SLOWEST, (1000 * length()) / WHOLE)) / 1000; // steps a millisecond
    place += Math.min(now - before, LONGEST) * rate;
    before = now;
    const end = length() - 1;
    if (place >= end) store.set({ step: end, playing: false });
    else {
      store.set({ step: Math.floor(place) });
      requestAnimationFrame(next);
    }
  }
  requestAnimationFrame(next);
}

/** Arrow keys, Home, End, Page up and down and Space move the clock wherever they have no other meaning. */
export function listen(lesson, store) {
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented || isTaken(event)) return;
    const end = lesson.runs[store.state.run].steps.values.length - 1;
    const { step } = store.state;
    const to = {
      ArrowLeft: step - 1,
      ArrowRight: step + 1,
      PageUp: step + 10,
      PageDown: step - 10,
      Home: 0,
      End: end,
    }[event.key];
    if (event.key === " ") toggle(store, end + 1);
    else if (to === undefined) return;
    else store.set({ step: to, playing: false });
    event.preventDefault();
  });
}

/** Whether the thing with focus uses this key itself. */
function isTaken({ target, key }) {
  if (!(target instanceof Element)) return false;
  if (target.closest("select, summary, textarea")) return true;
  if (target.closest("button, a")) return key === " " || key === "Enter";
  return target.closest("input") !== null && !(target.id === "slider" && (key === " " || key.startsWith("Page")));
}
