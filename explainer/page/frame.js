// The frame around a picture: its question, how to read it, and what to try.

import { html, replace } from "./elements.js";
import { say } from "./words.js";

/** A view's card; `picture` is what it is drawn in, `advice` the sentence on what to try. */
export function frame(name, wide, advice) {
  const picture = html("div", { class: "picture" });
  const element = html(
    "section",
    { class: `view ${name}${wide ? " wide" : ""}`, "aria-labelledby": `${name}-title`, id: name },
    html("h2", { id: `${name}-title` }, say(`${name}.title`)),
    picture,
    html(
      "div",
      { class: "words" },
      html("p", {}, say(`${name}.read`)),
      html("p", { class: "try" }, html("strong", {}, `${say("try")}: `), say(advice)),
    ),
  );
  return { element, picture };
}

/** What the traces lack for some views, in one sentence each. */
export function lacking(missing) {
  if (!missing.length) return null;
  return html(
    "section",
    { class: "view wide missing", "aria-labelledby": "missing-title" },
    html("h2", { id: "missing-title" }, say("missing")),
    html(
      "dl",
      {},
      missing.map(({ name, why, advice }) => [
        html("dt", {}, say(`${name}.title`)),
        html(
          "dd",
          { "data-missing": name },
          say(advice),
          why ? html("p", { class: "note" }, `${say("why")}: `, html("span", { lang: "en" }, why)) : null,
        ),
      ]),
    ),
  );
}

/** Draw a view anew whenever the room that it has becomes wider or narrower; paper takes it as it stands. */
export function whenResized(picture, layout) {
  let before = 0;
  const observer = new ResizeObserver(() => {
    const width = Math.floor(picture.clientWidth);
    if (width === before || width === 0 || matchMedia("print").matches) return;
    before = width;
    layout(width);
  });
  observer.observe(picture);
}

/** A group of choices of which one holds, as buttons; returns the group and what marks the choice. */
export function choices(name, label, options, choose) {
  const inputs = options.map((option, index) =>
    html("input", { type: "radio", name, value: index, onchange: () => choose(index) }),
  );
  const group = html("fieldset", { class: "choices" }, html("legend", {}, label));
  options.forEach((option, index) => group.append(html("label", {}, inputs[index], html("span", {}, option))));
  const mark = (index) => {
    if (inputs[index]) inputs[index].checked = true;
  };
  return { group, mark, clear: () => replace(group) };
}
