// The line where a mask passes one half, by marching squares (after Lorensen and Cline, SIGGRAPH 1987, in two dimensions).

// A cell lies between four pixel centres. Its code has a bit for each that is inside: top left, top right, bottom right,
// bottom left. Its edges are 0 top, 1 right, 2 bottom, 3 left; the line crosses those whose ends differ.
const STEPS = [
  [0, -1],
  [1, 0],
  [0, 1],
  [-1, 0],
];
const MOST_POINTS = 200000; // noise has no outline worth drawing

const isCrossed = (code, edge) => ((code >> edge) & 1) !== ((code >> ((edge + 1) & 3)) & 1);

/** The edge where the line that comes in by an edge leaves the cell; at a saddle, top pairs with right, bottom with left. */
function exitOf(code, entry) {
  const others = [0, 1, 2, 3].filter((edge) => edge !== entry && isCrossed(code, edge));
  return others.length === 1 ? others[0] : entry ^ 1;
}

const EXITS = Array.from({ length: 16 }, (_, code) =>
  [0, 1, 2, 3].map((entry) => (isCrossed(code, entry) ? exitOf(code, entry) : -1)),
);

/** A `Path2D` in pixels of the mask, whose pixel centres lie at halves; empty if the mask is mostly noise. */
export function outlineOf(values, width, height) {
  const tracer = new Tracer(values, width, height);
  for (let y = 0; y < height - 1; y += 1) {
    const row = y * width;
    let left = (values[row] > 127) | ((values[row + width] > 127) << 1);
    for (let x = 0; x < width - 1; x += 1) {
      const at = row + x + 1;
      const right = (values[at] > 127) | ((values[at + width] > 127) << 1);
      if (left !== right || left === 1 || left === 2) tracer.traceFrom(x, y);
      left = right;
    }
    if (tracer.points > MOST_POINTS) return new Path2D();
  }
  return tracer.path;
}

class Tracer {
  path = new Path2D();
  points = 0;

  constructor(values, width, height) {
    Object.assign(this, { values, width, height, seen: new Uint8Array(values.length) }); // seen: a bit for each edge of a cell
  }

  #code(at) {
    const { values, width } = this;
    return (
      (values[at] > 127) |
      ((values[at + 1] > 127) << 1) |
      ((values[at + width + 1] > 127) << 2) |
      ((values[at + width] > 127) << 3)
    );
  }

  /** Follows all lines through a cell that have not been followed yet. */
  traceFrom(x, y) {
    const at = y * this.width + x;
    const exits = EXITS[this.#code(at)];
    for (let edge = 0; edge < 4; edge += 1)
      if (exits[edge] >= 0 && !((this.seen[at] >> edge) & 1)) this.#trace(x, y, edge);
  }

  #trace(startX, startY, startEdge) {
    let [x, y, entry] = [startX, startY, startEdge];
    this.path.moveTo(...this.#crossing(x, y, entry));
    while (x >= 0 && y >= 0 && x < this.width - 1 && y < this.height - 1) {
      const at = y * this.width + x;
      if ((this.seen[at] >> entry) & 1) return;
      const exit = EXITS[this.#code(at)][entry];
      this.seen[at] |= (1 << entry) | (1 << exit);
      this.path.lineTo(...this.#crossing(x, y, exit));
      this.points += 1;
      x += STEPS[exit][0];
      y += STEPS[exit][1];
      entry = exit ^ 2;
    }
  }

  /** Where the line crosses an edge of a cell, between two pixel centres by their values. */
  #crossing(x, y, edge) {
    const { values, width } = this;
    const at = (edge === 2 ? y + 1 : y) * width + (edge === 1 ? x + 1 : x); // the edge's left or upper end
    const [from, to] = [values[at], values[edge & 1 ? at + width : at + 1]];
    const share = (127.5 - from) / (to - from);
    return edge & 1 ? [x + (edge === 1 ? 1.5 : 0.5), y + 0.5 + share] : [x + 0.5 + share, y + (edge === 2 ? 1.5 : 0.5)];
  }
}
