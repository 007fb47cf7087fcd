// One state for the whole page; views say of what they depend on, and are drawn again when that changed, once a frame.
// What is out of sight is drawn when it comes into sight, or as soon as the clock rests.

const REST = 150; // milliseconds without a change

/** A state, and how many steps each of the runs has: a step is always one of them. */
export function createStore(state, lengths) {
  const views = [];
  const late = []; // what catches up when nothing changes for a while
  let changed = new Set();
  let [asked, timer] = [0, 0];

  function flush() {
    if (asked) cancelAnimationFrame(asked);
    asked = 0;
    const now = changed;
    changed = new Set();
    for (const { keys, draw } of views) if (keys.some((key) => now.has(key))) draw(now);
    clearTimeout(timer);
    timer = setTimeout(rest, REST);
  }

  function rest() {
    do {
      if (asked) flush();
      clearTimeout(timer);
      for (const catchUp of late) catchUp(); // which may change more
    } while (asked);
  }

  const store = {
    state,
    /** Draw when one of these keys changed. */
    subscribe(keys, draw) {
      views.push({ keys, draw });
    },
    /** Call this when nothing has changed for a while: what nobody misses meanwhile. */
    whenResting(draw) {
      late.push(draw);
    },
    /** Take new values; what depends on them is drawn in the next frame. */
    set(patch) {
      const { run = state.run, step = state.step } = patch;
      patch = { ...patch, run, step: Math.max(0, Math.min(lengths[run] - 1, Math.round(step) || 0)) };
      for (const [key, value] of Object.entries(patch)) {
        if (Object.is(state[key], value)) continue;
        state[key] = value;
        changed.add(key);
      }
      if (changed.size && !asked) asked = requestAnimationFrame(flush);
    },
    /** Draw at once what waits for the next frame. */
    flush,
    /** Draw at once all that waits, in sight or not. */
    rest,
  };
  return { ...store, within: (element) => within(store, element) };
}

/** The same store for what is drawn in an element: while it is out of sight, drawing waits. */
function within(store, element) {
  const own = []; // in their order: of another run a view is laid out before a step of it is drawn
  const waiting = new Set();
  let seen = true;
  const catchUp = () => {
    const now = own.filter((draw) => waiting.has(draw));
    waiting.clear();
    for (const draw of now) draw();
  };
  const observer = new IntersectionObserver(
    (entries) => {
      seen = entries.at(-1).isIntersecting; // several, where it came and went within a frame
      if (seen) catchUp();
    },
    { rootMargin: "120px" },
  );
  observer.observe(element);
  store.whenResting(catchUp);
  const subscribe = (keys, draw) => {
    own.push(draw);
    store.subscribe(keys, () => (seen ? draw() : waiting.add(draw)));
  };
  return { ...store, subscribe };
}
