// One state for the whole page; views say of what they depend on, and are drawn again when that changed, once a frame.

export function createStore(state) {
  const views = [];
  let changed = new Set();
  let asked = 0;

  function flush() {
    if (asked) cancelAnimationFrame(asked);
    asked = 0;
    const now = changed;
    changed = new Set();
    for (const { keys, draw } of views) if (keys.some((key) => now.has(key))) draw(now);
  }

  return {
    state,
    /** Draw when one of these keys changed. */
    subscribe(keys, draw) {
      views.push({ keys, draw });
    },
    /** Take new values; what depends on them is drawn in the next frame. */
    set(patch) {
      for (const [key, value] of Object.entries(patch)) {
        if (Object.is(state[key], value)) continue;
        state[key] = value;
        changed.add(key);
      }
      if (changed.size && !asked) asked = requestAnimationFrame(flush);
    },
    /** Draw at once what waits for the next frame. */
    flush,
  };
}
