// The scale of a surface's losses: which tone of its colours, and how high, a loss is.

/** From a loss to its tone between 0 and 255; −1 for what is no number. */
export function toneOf(surface) {
  const turn = surface.log ? Math.log : (x) => x;
  const [low, high] = [turn(surface.low), turn(surface.high)];
  return (loss) => {
    if (Number.isNaN(loss)) return -1;
    return Math.round(255 * Math.min(1, Math.max(0, (turn(Math.max(loss, surface.low)) - low) / (high - low || 1))));
  };
}
