// The runs of a comparison: what became of each, and which one every picture shows.

import { html, numeric } from "./elements.js";
import { nearest } from "./loss.js";
import { number, percent, say, tickNumber, write } from "./words.js";

export function runsView(lesson, store, picture) {
  const rows = lesson.runs.map((run, index) => row(run, index, () => choose(index)));
  picture.append(
    html(
      "div",
      { class: "scroller", tabindex: 0, role: "group", "aria-label": say("runs.title") },
      html(
        "table",
        { class: "runs" },
        html(
          "thead",
          {},
          html(
            "tr",
            {},
            ["run", "rate", "last", "turns"].map((name) => html("th", { scope: "col" }, say(`runs.${name}`))),
          ),
        ),
        html(
          "tbody",
          {},
          rows.map(({ element }) => element),
        ),
      ),
    ),
  );

  /** Show another run at the step nearest to the one that is shown. */
  function choose(index) {
    const now = lesson.runs[store.state.run].steps.values[store.state.step];
    store.set({ run: index, step: nearest(lesson.runs[index].steps.values, now), pulse: null });
  }

  function mark() {
    rows.forEach(({ input, element }, index) => {
      input.checked = index === store.state.run;
      element.classList.toggle("chosen", input.checked);
    });
  }

  mark();
  store.subscribe(["run"], mark);
}

function row(run, index, choose) {
  const called = run.name || say("runs.unnamed", { number: index + 1 });
  const input = html("input", {
    type: "radio",
    name: "run",
    value: index,
    onchange: choose,
    "aria-label": say("runs.choose", { name: called }),
  });
  const cells = [
    ["rate", tickNumber],
    ["last", number],
    ["turns", percent],
  ].map(([name, written]) => {
    const value = numeric(name === "last" ? "loss" : "", `runs.${index}.${name}`);
    const found = run.verdict[name];
    const known = found?.values ? found.values[0] : found;
    if (known === null) value.textContent = "–";
    else write(value, known, false, written(known));
    return html("td", {}, value);
  });
  const element = html(
    "tr",
    { onclick: (event) => event.target !== input && (input.checked || choose()) },
    html(
      "th",
      { scope: "row" },
      html("label", {}, input, html("span", { class: `swatch run-${index % 6}`, "aria-hidden": "true" }), called),
    ),
    cells,
  );
  return { input, element };
}
