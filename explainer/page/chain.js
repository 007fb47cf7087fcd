// The chain rule with recorded numbers: choose an operation and see incoming × local = outgoing.

import { html, numeric, replace } from "./elements.js";
import { choices } from "./frame.js";
import { LOSS, standFor, showLit } from "./hover.js";
import { nearest } from "./loss.js";
import { number, say, write } from "./words.js";

export function chainView(lesson, store, picture) {
  const view = { lesson, store, picture, lit: [], rows: [], buttons: [] };
  view.nodes = html("div", { class: "operations", role: "group", "aria-label": say("chain.operations") });
  view.formula = html("p", { class: "formula" });
  view.tabs = html("div", {});
  view.table = html("table", { class: "products" });
  view.notes = html("p", { class: "note" });
  picture.append(
    view.nodes,
    view.formula,
    view.tabs,
    html("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": say("chain.title") }, view.table),
    view.notes,
  );
  const counts = lesson.runs.map((run) => (run.chain.missing === undefined ? run.chain.operations.length : 1));
  store.set({ operation: Math.max(...counts) - 1 }); // the loss
  layout(view);
  store.subscribe(["run"], () => layout(view));
  store.subscribe(["operation", "table"], () => choose(view));
  store.subscribe(["chosen"], () => chooseLayers(view));
  store.subscribe(["step"], () => step(view));
  store.subscribe(["hovered"], () => showLit(store.state.hovered, view.lit));
}

function chain(view) {
  return view.lesson.runs[view.store.state.run].chain;
}
function operation(view) {
  return chain(view).operations[Math.min(view.store.state.operation, chain(view).operations.length - 1)];
}
function products(view) {
  return operation(view).tables[Math.min(view.store.state.table, operation(view).tables.length - 1)];
}

function layout(view) {
  view.lit = [];
  view.rows = [];
  if (chain(view).missing !== undefined) return;
  view.buttons = chain(view).operations.map((each, index) => node(each, index, view.store, view.lit));
  const start = html("span", { class: "start" }, "x");
  replace(
    view.nodes,
    start,
    view.buttons.flatMap((button) => [html("span", { class: "arrow", "aria-hidden": "true" }, "←"), button]),
  );
  choose(view);
}

/** Show the operation of the last of the layers that were clicked elsewhere. */
function chooseLayers(view) {
  const chosen = new Set(view.store.state.chosen);
  const found = (chain(view).operations ?? []).findLastIndex((each) => chosen.has(idOf(each)));
  if (found >= 0) view.store.set({ operation: found, table: 0 });
}

function choose(view) {
  if (chain(view).missing !== undefined) return;
  const here = operation(view);
  view.buttons.forEach((button, index) =>
    button.setAttribute("aria-pressed", String(chain(view).operations[index] === here)),
  );
  const pick = choices(
    "table",
    say("chain.to"),
    here.tables.map((each) => target(each, here)),
    (index) => view.store.set({ table: index }),
  );
  pick.mark(Math.min(view.store.state.table, here.tables.length - 1));
  replace(view.tabs, here.tables.length > 1 ? pick.group : "");
  replace(view.formula, written(here, products(view)));
  const terms = products(view).of.shape[1];
  const several = Math.max(...products(view).count.values) > terms;
  view.rows = Array.from({ length: products(view).rows.shape[0] }, (_, row) =>
    productRow(here, products(view), row, several),
  );
  replace(
    view.table,
    html("caption", { class: "unseen" }, say("chain.table", { layer: here.name })),
    head(),
    html(
      "tbody",
      {},
      view.rows.map((each) => each.element),
    ),
  );
  step(view);
}

function step(view) {
  if (chain(view).missing !== undefined) return;
  const { steps } = chain(view);
  const now = view.lesson.runs[view.store.state.run].steps.values[view.store.state.step];
  const at = nearest(steps.values, now);
  const shown = products(view);
  view.rows.forEach((row, index) => fillRow(row, shown, index, at));
  const count = operation(view).inputs;
  const some = shown.to === "input" && count > shown.rows.shape[0];
  const told = [
    say("chain.of_example"),
    ofWhichStep(chain(view), steps.values[at], now, view.lesson.runs[view.store.state.run].stride),
    some ? `${say("chain.terms", { shown: shown.rows.shape[0], count })}.` : "",
    chain(view).whole ? "" : say("chain.whole"),
    shown.difference === null ? "" : say("chain.difference", { difference: number(shown.difference, 2) }),
  ]
    .filter(Boolean)
    .join(" ");
  if (view.notes.textContent !== told) view.notes.textContent = told;
  view.table.dataset.step = steps.values[at];
}

/** Why the numbers may be of another step than the clock's. */
function ofWhichStep({ stride, steps }, step, now, wanted) {
  const room = stride > wanted; // not for every step that the clock shows
  const beyond = now < steps.values[0] || now > steps.values.at(-1);
  if (step !== now && (beyond || !room)) return say("chain.not_finite", { step, now });
  return room ? say("chain.at", { step, stride }) : "";
}

function idOf(operation) {
  return operation.is_loss ? LOSS : operation.name;
}

function node(operation, index, store, lit) {
  const isLoss = operation.is_loss;
  const button = html(
    "button",
    {
      type: "button",
      class: `operation${isLoss ? " loss" : ""}`,
      onclick: () => store.set({ operation: index, table: 0 }),
    },
    html("span", { class: "symbol" }, isLoss ? "ℓ" : operation.name),
    html("span", { class: "type" }, operation.type),
  );
  standFor(store, lit, button, [idOf(operation)]);
  return button;
}

function target(table, operation) {
  if (table.to === "parameter") return say("chain.to_parameter", { parameter: table.parameter });
  return say("chain.to_input", { layer: fedBy(operation) });
}

function fedBy(operation) {
  const before = operation.before;
  return before === "" ? say("chain.input") : before;
}

/** ∂ℓ/∂output × ∂output/∂input = ∂ℓ/∂input, in the operation's own names. */
function written(operation, table) {
  const y = operation.is_loss ? "ℓ" : operation.name;
  const x = table.to === "parameter" ? table.parameter : operation.before === "" ? "x" : operation.before;
  return [
    fraction("∂ℓ", `∂${y}`, "gradient"),
    html("span", {}, " × "),
    fraction(`∂${y}`, `∂${x}`, "local"),
    html("span", {}, " = "),
    fraction("∂ℓ", `∂${x}`, "gradient"),
  ];
}

function fraction(over, under, kind) {
  return html(
    "span",
    { class: `fraction ${kind}` },
    html("span", {}, over),
    html("span", { class: "unseen" }, " / "),
    html("span", { class: "under" }, under),
  );
}

function head() {
  const product = html(
    "th",
    { scope: "col" },
    html("span", { class: "gradient" }, say("chain.incoming")),
    " × ",
    html("span", { class: "local" }, say("chain.local")),
  );
  const others = [
    ["chain.outgoing", "gradient"],
    ["chain.recorded", ""],
  ].map(([key, kind]) => html("th", { scope: "col", class: kind }, say(key)));
  return html("thead", {}, html("tr", {}, html("td"), product, others));
}

function productRow(operation, table, row, several) {
  const many = table.of.shape[1] > 1 || several;
  const terms = Array.from({ length: table.of.shape[1] }, (_, term) => oneTerm(`chain.${row}.${term}`, many));
  const rest = several ? remainder(`chain.${row}.rest`) : null;
  const total = numeric("gradient total", `chain.${row}.total`);
  const recorded = numeric("", `chain.${row}.recorded`);
  const products = [...terms, rest].filter(Boolean).map((each) => each.item);
  const element = html(
    "tr",
    {},
    html("th", { scope: "row" }, rowName(operation, table, row)),
    html("td", {}, html("ul", { class: many ? "sum" : "sum one" }, products)),
    html("td", {}, "= ", total),
    html("td", {}, recorded),
  );
  return { element, terms, rest, total, recorded };
}

/** incoming × local = product. */
function oneTerm(of, many) {
  const [incoming, local] = [numeric("gradient", `${of}.incoming`), numeric("local", `${of}.local`)];
  const product = numeric("", `${of}.product`);
  return { incoming, local, product, item: html("li", {}, incoming, " × ", local, many ? [" = ", product] : "") };
}

/** The sum of the products that are not shown. */
function remainder(of) {
  const [said, value] = [html("span", {}), numeric("quiet", of)];
  return { said, value, item: html("li", { class: "quiet" }, said, value) };
}

function rowName(operation, table, row) {
  const index = Array.from({ length: table.rows.shape[1] }, (_, axis) => table.rows.at(row, axis)).join(", ");
  const name = table.to === "parameter" ? table.parameter : operation.before === "" ? "x" : operation.before;
  return `${name}[${index}]`;
}

function fillRow({ terms, rest, total, recorded }, table, row, at) {
  terms.forEach(({ incoming, local, product, item }, term) => {
    item.hidden = Number.isNaN(table.incoming.at(row, term, at)); // an example that a smaller batch has not
    write(
      incoming,
      table.incoming.at(row, term, at),
      table.incoming.single,
      number(table.incoming.at(row, term, at), 3),
    );
    write(local, table.local.at(row, term, at), table.local.single, number(table.local.at(row, term, at), 3));
    write(product, table.product.at(row, term, at), table.product.single, number(table.product.at(row, term, at), 3));
  });
  if (rest) {
    const more = table.count.values[at] - terms.filter(({ item }) => !item.hidden).length;
    rest.item.hidden = more === 0;
    if (rest.more !== more) rest.said.textContent = `+ ${say("chain.rest", { count: (rest.more = more) })}: `;
    write(rest.value, table.rest.at(row, at), false, number(table.rest.at(row, at), 3));
  }
  write(total, table.total.at(row, at), table.total.single);
  const found = table.recorded.at(row, at);
  const known = !Number.isNaN(found);
  write(recorded, found, table.recorded.single, known ? number(found) : say("chain.not_recorded"));
}
