// The page: reads what it holds, and puts the views on one clock.

import { unpacked } from "./arrays.js";
import { chainView } from "./chain.js";
import { clock, listen } from "./clock.js";
import { forgetColours } from "./colour.js";
import { digitView } from "./digit.js";
import { html } from "./elements.js";
import { flowView } from "./flow.js";
import { frame, lacking } from "./frame.js";
import { lossView } from "./loss.js";
import { TILT, TURN } from "./mountain.js";
import { networkView } from "./network.js";
import { runsView } from "./runs.js";
import { createStore } from "./store.js";
import { surfaceView } from "./surface.js";
import { knows, say, speak, tellAllDigits, writeAllDigits } from "./words.js";

const VIEWS = [
  ["runs", runsView, false],
  ["loss", lossView, false],
  ["digit", digitView, false],
  ["network", networkView, true],
  ["flow", flowView, false],
  ["chain", chainView, true],
  ["surface", surfaceView, true],
];

async function begin() {
  const tree = JSON.parse(document.getElementById("data").textContent);
  const lesson = await unpacked(tree, document.getElementById("arrays").textContent);
  speak(lesson.texts);
  const store = createStore({
    run: 0,
    step: 0,
    playing: false,
    speed: 1,
    hovered: null,
    operation: 0,
    table: 0,
    image: 0,
    pulse: null,
    turn: TURN,
    tilt: TILT,
    scheme: "",
  });
  const bar = clock(lesson, store);
  const main = html("main", {});
  const missing = [];
  for (const [name] of VIEWS)
    if (name !== "runs" && whyNot(lesson, name) !== null) missing.push([name, whyNot(lesson, name)]);
  for (const [name, view, wide] of inPairs(VIEWS.filter(([name]) => whyNot(lesson, name) === null))) {
    const { element, picture } = frame(name, wide);
    main.append(element);
    view(lesson, store.within(element), picture);
    if (lesson.runs.length > 1) whereARunHasNone(lesson, store, name, picture);
  }
  main.append(...[lacking(missing)].filter(Boolean));
  document
    .getElementById("lesson")
    .append(
      html("a", { class: "skip", href: "#slider" }, say("skip")),
      header(lesson, store),
      main,
      bar.element,
      footer(lesson),
    );
  window.lessonStore = store; // for who wants to drive the page: tests, and curious students
  bar.draw();
  listen(lesson, store);
  tellAllDigits();
  watchScheme(store);
  store.rest();
  document.documentElement.dataset.ready = Math.round(performance.now());
}

/** Views in an order in which two narrow ones stand side by side; one that is left over becomes wide. */
function inPairs(views) {
  const [found, waiting] = [[], [...views]];
  while (waiting.length) {
    const [name, view, wide] = waiting.shift();
    const partner = wide ? -1 : waiting.findIndex((each) => !each[2]);
    found.push([name, view, wide || partner < 0]);
    if (partner >= 0) found.push(...waiting.splice(partner, 1));
  }
  return found;
}

/** Show a sentence in a picture's place while a run is chosen that has nothing for it. */
function whereARunHasNone(lesson, store, name, picture) {
  const sentence = html("p", { class: "note absent" }, knows(`${name}.missing`) ? say(`${name}.missing`) : "");
  picture.after(sentence);
  const show = () => {
    const none = lesson.runs[store.state.run][name]?.missing !== undefined;
    picture.hidden = none;
    sentence.hidden = !none;
  };
  store.subscribe(["run"], show);
  show();
}

/** Null where some run has what a view shows, else why it has not. */
function whyNot(lesson, name) {
  if (name === "runs") return lesson.runs.length > 1 ? null : "";
  if (name === "surface") return lesson.surface.missing ?? null;
  return lesson.runs.some((run) => run[name].missing === undefined) ? null : lesson.runs[0][name].missing;
}

function header(lesson, store) {
  const { model, steps, recorded, stride } = lesson.runs[0];
  const said = [
    say("about", { model: model.type, parameters: model.parameters.toLocaleString("en") }),
    model.criterion && model.optimizer
      ? say("about_criterion", { criterion: model.criterion, optimizer: model.optimizer })
      : "",
    model.data,
    say("about_steps", { count: recorded.toLocaleString("en"), first: steps.values[0], last: steps.values.at(-1) }),
  ];
  return html(
    "header",
    {},
    html("div", {}, html("h1", {}, lesson.title), html("p", { class: "about" }, said.filter(Boolean).join(" · "))),
    html("div", { class: "switches" }, allDigits(), schemes(store)),
    stride > 1
      ? html("p", { class: "thinned" }, say("thinned", { stride, shown: steps.values.length, recorded }))
      : null,
    model.finished ? null : html("p", { class: "thinned" }, say("unfinished")),
  );
}

function footer(lesson) {
  const films = lesson.films.map(({ href, name }) => html("li", {}, html("a", { href }, name)));
  return html(
    "footer",
    {},
    html("p", {}, `${say("recorded")} `, html("span", { class: "keys" }, say("keys"))),
    films.length
      ? html("nav", { "aria-label": say("films") }, html("span", {}, say("films")), html("ul", {}, films))
      : null,
  );
}

function allDigits() {
  const button = html("button", { type: "button", class: "digits", "aria-pressed": "false" }, say("digits"));
  button.addEventListener("click", () => {
    const wanted = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(wanted));
    writeAllDigits(wanted);
  });
  return button;
}

function schemes(store) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = html("button", { type: "button", class: "scheme" });
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const name = () => (button.textContent = say(isDark() ? "light" : "dark"));
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
    forgetColours();
    store.set({ scheme: document.documentElement.dataset.theme });
  });
  name();
  return button;
}

/** Draw again when the room becomes light or dark, and in light colours for paper. */
function watchScheme(store) {
  const again = (word) => {
    forgetColours();
    store.set({ scheme: word });
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ({ matches }) =>
    again(matches ? "dark-room" : "light-room"),
  );
  matchMedia("print").addEventListener("change", ({ matches }) => {
    again(matches ? "paper" : "screen");
    store.rest();
  });
}

begin();
