// The page: reads what it holds, and puts the views on one clock.

import { unpacked } from "./arrays.js";
import { chainView } from "./chain.js";
import { clock, listen } from "./clock.js";
import { forgetColours } from "./colour.js";
import { digitView } from "./digit.js";
import { html, replace } from "./elements.js";
import { flowView } from "./flow.js";
import { frame, lacking } from "./frame.js";
import { lossView } from "./loss.js";
import { TILT, TURN } from "./mountain.js";
import { networkView } from "./network.js";
import { runsView } from "./runs.js";
import { createStore } from "./store.js";
import { surfaceView } from "./surface.js";
import { counted, knows, ofData, say, speak, tellAllDigits, writeAllDigits } from "./words.js";

const VIEWS = [
  ["runs", runsView, false],
  ["loss", lossView, false],
  ["digit", digitView, false],
  ["network", networkView, true],
  ["flow", flowView, false],
  ["chain", chainView, true],
  ["surface", surfaceView, true],
];

const MANY = 20; // layers, from which on the gradient's flow needs the whole width

async function begin() {
  const tree = JSON.parse(document.getElementById("data").textContent);
  const lesson = await unpacked(tree, document.getElementById("arrays").textContent);
  speak(lesson.texts, lesson.language);
  const state = {
    run: 0,
    step: 0,
    playing: false,
    speed: 1,
    hovered: null,
    operation: 0,
    chosen: null,
    table: 0,
    image: 0,
    pulse: null,
    turn: TURN,
    tilt: TILT,
    scheme: "",
  };
  const store = createStore(
    state,
    lesson.runs.map((run) => run.steps.values.length),
  );
  const bar = clock(lesson, store);
  const main = html("main", {});
  const [present, missing] = [[], []];
  for (const each of VIEWS) {
    const [name] = each;
    const why = whyNot(lesson, name);
    if (why === null) present.push(widened(each, lesson));
    else if (name !== "runs") missing.push({ name, why, advice: whatToDo(lesson, name) });
  }
  for (const [name, view, wide] of inPairs(present)) {
    const { element, picture } = frame(name, wide, adviceOf(name, lesson));
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

/** A view that is wide because it has many layers to show side by side. */
function widened([name, view, wide], lesson) {
  const many = lesson.runs.some((run) => run.model.layers > MANY);
  return [name, view, wide || (name === "flow" && many)];
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

/** Which sentence says what to try in a view. */
function adviceOf(name, lesson) {
  const rates = new Set(lesson.runs.map((run) => run.verdict?.rate));
  return name === "runs" && rates.size < lesson.runs.length ? "runs.try_others" : `${name}.try`;
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

/** Which sentence says what is lacking, and how to come by it. */
function whatToDo(lesson, name) {
  return name === "surface" && !lesson.surface.shared ? "surface.not_shared" : `${name}.missing`;
}

function header(lesson, store) {
  const about = html("p", { class: "about" });
  const warnings = html("div", { class: "warnings" });
  const tell = () => {
    const run = lesson.runs[store.state.run];
    about.textContent = aboutRun(run);
    replace(
      warnings,
      warningsOf(run).map((each) => html("p", {}, each)),
    );
  };
  tell();
  store.subscribe(["run"], tell);
  return html(
    "header",
    {},
    html("div", {}, html("h1", {}, lesson.title), about),
    html("div", { class: "switches" }, allDigits(), schemes(store)),
    warnings,
  );
}

/** What ran: the model, what it was trained on, and for how long. */
function aboutRun({ model, steps, recorded }) {
  const { criterion, optimizer } = model;
  const [count, first, last] = [counted(recorded), steps.values[0], steps.values.at(-1)];
  return [
    say("about", { model: model.type, parameters: counted(model.parameters) }),
    criterion && optimizer ? say("about_criterion", { criterion, optimizer }) : "",
    ofData(model.data),
    recorded === 1 ? say("about_one_step", { first }) : say("about_steps", { count, first, last }),
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What one has to know of a run before one trusts its pictures. */
function warningsOf({ model, steps, recorded, stride }) {
  const shown = { stride, shown: counted(steps.values.length), recorded: counted(recorded) };
  return [stride > 1 ? say("thinned", shown) : "", model.finished ? "" : say("unfinished")].filter(Boolean);
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
  const button = html("button", { type: "button", class: "scheme" });
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

function isDark() {
  const bySystem = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return (document.documentElement.dataset.theme ?? bySystem) === "dark";
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
    if (isDark()) again(matches ? "paper" : "screen");
    store.rest();
  });
}

begin();
