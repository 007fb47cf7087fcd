// What the network says of one image: its probability for each class.

import { html, numeric, replace } from "./elements.js";
import { choices } from "./frame.js";
import { standFor, showLit } from "./hover.js";
import { paintImage } from "./pictures.js";
import { fixed, number, say, write } from "./words.js";

export function digitView(lesson, store, picture) {
  const view = { lesson, store, lit: [], parts: null };
  view.holder = html("div", { class: "answer" });
  picture.append(view.holder);
  layout(view);
  store.subscribe(["run"], () => layout(view));
  store.subscribe(["image"], () => choose(view));
  store.subscribe(["step"], () => step(view));
  store.subscribe(["hovered"], () => showLit(store.state.hovered, view.lit));
}

function seen(view) {
  return view.lesson.runs[view.store.state.run].digit;
}

function layout(view) {
  view.parts = null;
  view.lit = [];
  if (seen(view).missing !== undefined) return replace(view.holder);
  const { classes, images, targets, layer, class_count: count } = seen(view);
  const pick = choices(
    "image",
    say("digit.choose"),
    targets.map((target, index) => thumbnail(images, index, classes[target])),
    (image) => view.store.set({ image }),
  );
  const large = html("canvas", { class: "image", role: "img" });
  const right = numeric("right", "digit.right");
  const first = html("span", { class: "quiet" });
  const verdict = html("span", { class: "verdict" });
  const rows = classes.map((name) => row(name));
  const bars = html(
    "div",
    { class: "bars", role: "group", "aria-label": say("digit.table"), tabindex: 0 },
    rows.map((each) => each.element),
    html(
      "p",
      { class: "note" },
      say("digit.scale"),
      classes.length < count ? `; ${say("digit.shown", { shown: classes.length, count })}` : "",
    ),
  );
  standFor(view.store, view.lit, bars, [layer]);
  const word = html("span", { class: "quiet" });
  replace(
    view.holder,
    html("div", { class: "shown" }, large, html("p", { class: "big" }, word, right, verdict, first)),
    bars,
    pick.group,
  );
  view.parts = { pick, large, right, first, verdict, rows, word };
  choose(view);
  return undefined;
}

function choose(view) {
  if (!view.parts) return;
  const image = Math.min(view.store.state.image, seen(view).targets.length - 1);
  const { classes, images, targets, probabilities } = seen(view);
  const name = classes[targets[image]];
  view.parts.pick.mark(image);
  paintImage(view.parts.large, images, image);
  view.parts.large.setAttribute("aria-label", say("digit.image", { class: name }));
  view.parts.word.textContent = say("digit.probability", { class: name });
  view.parts.first.textContent = say("digit.at_first", {
    value: number(probabilities.at(image, targets[image], 0), 3),
  });
  view.parts.rows.forEach((each, place) => {
    each.element.classList.toggle("target", place === targets[image]);
    each.mark.style.left = `${100 * probabilities.at(image, place, 0)}%`;
  });
  step(view);
}

function step(view) {
  if (!view.parts) return;
  const { classes, probabilities, targets } = seen(view);
  const [at, image] = [view.store.state.step, Math.min(view.store.state.image, targets.length - 1)];
  let [best, most] = [-1, -1]; // none where probabilities are no numbers
  view.parts.rows.forEach(({ fill, value }, place) => {
    const share = probabilities.at(image, place, at);
    fill.style.width = `${100 * share}%`;
    write(value, share, probabilities.single, fixed(share, 3));
    if (share > most) [best, most] = [place, share];
  });
  const share = probabilities.at(image, targets[image], at);
  write(view.parts.right, share, probabilities.single, fixed(share, 3));
  const isRight = best === targets[image];
  const says = isRight ? `✓ ${say("digit.right")}` : `✗ ${say("digit.wrong", { class: classes[best] })}`;
  view.parts.verdict.textContent = best < 0 ? "" : says;
  view.parts.verdict.classList.toggle("wrong", !isRight);
}

function row(name) {
  const fill = html("span", { class: "fill" });
  const mark = html("span", { class: "mark" });
  const value = numeric("", `digit.${name}`);
  const element = html(
    "div",
    { class: "bar-row" },
    html("span", { class: "class" }, name),
    html("span", { class: "track" }, fill, mark),
    value,
  );
  return { element, fill, mark, value };
}

function thumbnail(images, index, name) {
  const canvas = html("canvas", { class: "thumbnail", role: "img", "aria-label": say("digit.image", { class: name }) });
  paintImage(canvas, images, index);
  return canvas;
}
