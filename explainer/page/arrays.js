// Arrays as `arrays.py` packed them: deflated, bytes of equal rank together, differences where that was shorter.

const ARRAYS = { Uint8: Uint8Array, Int32: Int32Array, Float32: Float32Array, Float64: Float64Array };

/** Numbers with a shape; the last axis is the step where there are steps. */
export class Table {
  constructor(values, shape) {
    this.values = values;
    this.shape = shape;
    this.single = values instanceof Float32Array;
  }

  /** The number at an index of as many places as there are axes. */
  at(...index) {
    let place = 0;
    for (let axis = 0; axis < index.length; axis++) place = place * this.shape[axis] + index[axis];
    return this.values[place];
  }
}

/** The tree with a Table wherever an array was packed. */
export async function unpacked(tree, base64) {
  const bytes = await inflated(base64.trim());
  return withTables(tree, bytes);
}

async function inflated(base64) {
  const text = atob(base64);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function withTables(value, bytes) {
  if (Array.isArray(value)) return value.map((each) => withTables(each, bytes));
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value.array)) return table(value.array, bytes);
  const found = Object.create(null); // a run may be called "constructor"
  for (const [name, each] of Object.entries(value)) found[name] = withTables(each, bytes);
  return found;
}

function table([kind, start, differences, ...shape], bytes) {
  const size = ARRAYS[kind].BYTES_PER_ELEMENT;
  const count = shape.reduce((all, each) => all * each, 1);
  const planes = bytes.subarray(start, start + count * size);
  const mixed = new Uint8Array(count * size);
  let before = 0;
  for (let plane = 0, from = 0; plane < size; plane++) {
    for (let to = plane; to < mixed.length; to += size, from++) {
      before = differences ? (before + planes[from]) & 255 : planes[from];
      mixed[to] = before;
    }
  }
  return new Table(new ARRAYS[kind](mixed.buffer), shape);
}
