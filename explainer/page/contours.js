// Lines of equal loss on a grid, by marching squares.

/** The segments [x1, y1, x2, y2] of one level, in columns and rows of the grid. */
export function contour(losses, level) {
  const [rows, columns] = losses.shape;
  const found = [];
  for (let row = 0; row < rows - 1; row++) {
    for (let column = 0; column < columns - 1; column++) cell(losses, level, row, column, found);
  }
  return found;
}

function cell(losses, level, row, column, found) {
  const corners = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ].map(([x, y]) => [column + x, row + y, losses.at(row + y, column + x)]);
  if (corners.some(([, , loss]) => !Number.isFinite(loss))) return;
  const crossings = [];
  for (let side = 0; side < 4; side++) {
    const [a, b] = [corners[side], corners[(side + 1) % 4]];
    if (a[2] < level === b[2] < level) continue;
    const share = (level - a[2]) / (b[2] - a[2]);
    crossings.push([a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share]);
  }
  for (let pair = 0; pair + 1 < crossings.length; pair += 2) found.push([...crossings[pair], ...crossings[pair + 1]]);
}
