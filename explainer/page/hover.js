// What one points at, or has focus, is lit in every picture that shows it.

/** What stands for the loss among the layers that are pointed at: no layer can be called so. */
export const LOSS = ".loss";

/** Let an element stand for layers: pointing at it lights them everywhere, and it is lit with them. */
export function standFor(store, lit, element, layers) {
  lit.push({ element, layers: new Set(layers) });
  const light = () => store.set({ hovered: layers });
  const darken = () => store.set({ hovered: null });
  element.addEventListener("pointerenter", light);
  element.addEventListener("pointerleave", darken);
  element.addEventListener("focus", light);
  element.addEventListener("blur", darken);
}

/** Let a click on an element, or Enter, choose layers: the chain rule shows the last of them that it knows. */
export function choosing(store, element, layers) {
  const choose = () => store.set({ chosen: [...layers] });
  element.classList.add("chooses");
  element.addEventListener("click", choose);
  element.addEventListener("keydown", (event) => event.key === "Enter" && choose());
}

/** Whether one of these layers is pointed at. */
export function isLit(hovered, layers) {
  return hovered !== null && hovered.some((layer) => layers.has(layer));
}

/** Mark in a view what stands for the layers pointed at; the others step back. */
export function showLit(hovered, lit) {
  for (const { element, layers } of lit) {
    element.classList.toggle("lit", isLit(hovered, layers));
    element.classList.toggle("back", hovered !== null && !isLit(hovered, layers));
  }
}
