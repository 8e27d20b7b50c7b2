// How are maps enlarged to a picture, and masks put into their boxes? As rapidnet.runtimes.resample does it.

const round = Math.fround;

/** For each of `target` places along a side of `source` pixels: those before and behind, and the latter's share. */
function findNeighbours(
  source: number,
  target: number,
): { before: Int32Array; behind: Int32Array; share: Float32Array } {
  const step = round(source / target);
  const before = new Int32Array(target);
  const behind = new Int32Array(target);
  const share = new Float32Array(target);
  for (let i = 0; i < target; i++) {
    const place = Math.max(round(round(round(i + 0.5) * step) - 0.5), 0);
    before[i] = Math.min(Math.trunc(place), source - 1);
    behind[i] = Math.min(before[i] + 1, source - 1);
    share[i] = place - before[i];
  }
  return { before, behind, share };
}

/** Maps [classes, h, w] -> the number of the largest at each of height x width pixels, bilinear, align_corners false. */
export function enlargeAndPick(
  maps: Float32Array,
  classes: number,
  from: { height: number; width: number },
  to: { height: number; width: number },
): Uint8Array {
  const down = findNeighbours(from.height, to.height);
  const across = findNeighbours(from.width, to.width);
  const picked = new Uint8Array(to.height * to.width);
  const best = new Float32Array(to.width);
  const line = new Float32Array(from.width);
  const same = from.height === to.height && from.width === to.width;
  for (let y = 0; y < to.height; y++) {
    const row = picked.subarray(y * to.width, (y + 1) * to.width);
    best.fill(Number.NEGATIVE_INFINITY);
    for (let c = 0; c < classes; c++) {
      const upper = (c * from.height + down.before[y]) * from.width;
      const lower = (c * from.height + down.behind[y]) * from.width;
      const [near, far] = [round(1 - down.share[y]), down.share[y]];
      for (let x = 0; x < from.width; x++) {
        line[x] = same ? maps[upper + x] : round(maps[upper + x] * near) + round(maps[lower + x] * far);
      }
      for (let x = 0; x < to.width; x++) {
        const part = across.share[x];
        const value = same
          ? line[x]
          : round(round(line[across.before[x]] * round(1 - part)) + round(line[across.behind[x]] * part));
        // The first of equal ones wins, as with argmax.
        if (value > best[x]) {
          best[x] = value;
          row[x] = c;
        }
      }
    }
  }
  return picked;
}

/** The part of a picture's pixels that a mask may cover: data[y * width + x] is 1 where it does. */
export interface Mask {
  left: number;
  top: number;
  width: number;
  height: number;
  data: Uint8Array;
}

/** A mask [cells x cells] within its box -> the pixels of a picture where it is at least `threshold`. */
export function pasteMask(
  mask: Float32Array,
  cells: number,
  box: ArrayLike<number>,
  size: { height: number; width: number },
  threshold: number,
): Mask {
  const rows = spread(box[1], box[3], size.height, cells);
  const columns = spread(box[0], box[2], size.width, cells);
  const data = new Uint8Array(rows.count * columns.count);
  const line = new Float32Array(cells);
  for (let y = 0; y < rows.count; y++) {
    line.fill(0);
    for (let i = 0; i < cells; i++) {
      const share = rows.shares[y * cells + i];
      if (share > 0) for (let k = 0; k < cells; k++) line[k] += share * mask[i * cells + k];
    }
    for (let x = 0; x < columns.count; x++) {
      let value = 0;
      for (let k = 0; k < cells; k++) value += columns.shares[x * cells + k] * line[k];
      data[y * columns.count + x] = round(value) >= threshold ? 1 : 0;
    }
  }
  return { left: columns.first, top: rows.first, width: columns.count, height: rows.count, data };
}

/** The first of the pixels around a range, how many, and how much of each cell each of them shows. */
function spread(
  low: number,
  high: number,
  side: number,
  cells: number,
): { first: number; count: number; shares: Float32Array } {
  const first = Math.max(Math.floor(low) - 1, 0);
  const count = Math.max(0, Math.min(Math.ceil(high) + 1, side) - first);
  const shares = new Float32Array(count * cells);
  for (let i = 0; i < count; i++) {
    const place = round(round(round(round(first + i + 0.5 - low) / round(high - low)) * cells) - 0.5);
    for (let k = 0; k < cells; k++) shares[i * cells + k] = Math.max(1 - Math.abs(place - k), 0);
  }
  return { first, count, shares };
}
