// How does Pillow shrink and enlarge a picture? Bit for bit, so that a network sees here what it sees in Python.
//
// Pillow's resize, as its documentation and behaviour have it: each side on its own, across first; each target pixel is a
// weighted mean over the source pixels under its filter, which widens with the scale when shrinking; weights are
// fixed-point numbers of 22 bits, and after each side the sum is rounded to 8 bits.

import { PageError } from "../errors.ts";
import type { Raster } from "./raster.ts";

export type Filter = "bilinear" | "bicubic";

const BITS = 22;
const HALF = 1 << (BITS - 1);

const FILTERS: Record<Filter, { reach: number; weigh: (x: number) => number }> = {
  bilinear: { reach: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { reach: 2, weigh: weighCubic },
};

/** Keys' cubic with a = -1/2. */
function weighCubic(signed: number): number {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** For each target place: the first source place it is made of, and its weights. */
interface Weights {
  first: Int32Array;
  counts: Int32Array;
  values: Int32Array;
  /** Places in `values` per target place. */
  stride: number;
}

/** The weights along a side of `source` pixels that becomes `target`. */
export function weighSide(source: number, target: number, filter: Filter): Weights {
  const { reach, weigh } = FILTERS[filter];
  const scale = source / target;
  const widened = Math.max(scale, 1);
  const support = reach * widened;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(target);
  const counts = new Int32Array(target);
  const values = new Int32Array(target * stride);
  const exact = new Float64Array(stride);
  for (let place = 0; place < target; place++) {
    const center = (place + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(source, Math.trunc(center + support + 0.5)) - low;
    let total = 0;
    for (let i = 0; i < count; i++) {
      exact[i] = weigh((i + low - center + 0.5) * (1 / widened));
      total += exact[i];
    }
    for (let i = 0; i < count; i++) {
      const share = total === 0 ? exact[i] : exact[i] / total;
      values[place * stride + i] = Math.trunc(share * (1 << BITS) + (share < 0 ? -0.5 : 0.5));
    }
    first[place] = low;
    counts[place] = count;
  }
  return { first, counts, values, stride };
}

const clip = (sum: number) => (sum < 0 ? 0 : sum > 255 ? 255 : sum);

/** Resize to width x height. Throws PageError for a filter other than bilinear, bicubic and nearest. */
export function resize(image: Raster, width: number, height: number, filter: string): Raster {
  if (width === image.width && height === image.height) return image;
  if (filter === "nearest") return resizeNearest(image, width, height);
  if (!(filter in FILTERS))
    throw new PageError(
      `The card asks for the interpolation ${filter}; this page knows bicubic, bilinear and nearest.`,
    );
  const down = weighSide(image.height, height, filter as Filter);
  // Rows that no target row is made of need not be resized across.
  const top = down.first[0];
  const bottom = down.first[height - 1] + down.counts[height - 1];
  const across = width === image.width ? image.data : resizeRows(image, width, top, bottom, filter as Filter);
  if (height === image.height) return { width, height, data: across };
  return { width, height, data: resizeColumns(across, width, height, width === image.width ? 0 : top, down) };
}

function resizeRows(image: Raster, width: number, top: number, bottom: number, filter: Filter): Uint8Array {
  const { first, counts, values, stride } = weighSide(image.width, width, filter);
  const out = new Uint8Array(width * (bottom - top) * 3);
  for (let row = top, to = 0; row < bottom; row++) {
    const start = row * image.width * 3;
    for (let place = 0; place < width; place++) {
      let [red, green, blue] = [HALF, HALF, HALF];
      let from = start + first[place] * 3;
      for (let i = place * stride, end = i + counts[place]; i < end; i++, from += 3) {
        const weight = values[i];
        red = (red + image.data[from] * weight) | 0;
        green = (green + image.data[from + 1] * weight) | 0;
        blue = (blue + image.data[from + 2] * weight) | 0;
      }
      out[to++] = clip(red >> BITS);
      out[to++] = clip(green >> BITS);
      out[to++] = clip(blue >> BITS);
    }
  }
  return out;
}

/** rows: those from `top` of the picture on. */
function resizeColumns(rows: Uint8Array, width: number, height: number, top: number, down: Weights): Uint8Array {
  const out = new Uint8Array(width * height * 3);
  const line = width * 3;
  const sums = new Int32Array(line);
  for (let place = 0; place < height; place++) {
    sums.fill(HALF);
    for (let i = 0; i < down.counts[place]; i++) {
      const weight = down.values[place * down.stride + i];
      const start = (down.first[place] + i - top) * line;
      for (let x = 0; x < line; x++) sums[x] += rows[start + x] * weight;
    }
    for (let x = 0; x < line; x++) out[place * line + x] = clip(sums[x] >> BITS);
  }
  return out;
}

function resizeNearest(image: Raster, width: number, height: number): Raster {
  const columns = nearestPlaces(image.width, width);
  const rows = nearestPlaces(image.height, height);
  const data = new Uint8Array(width * height * 3);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * image.width + column) * 3;
      data[to++] = image.data[from];
      data[to++] = image.data[from + 1];
      data[to++] = image.data[from + 2];
    }
  }
  return { width, height, data };
}

/** Pillow adds the scale up from place to place, so rounding does, too. */
function nearestPlaces(source: number, target: number): number[] {
  const scale = source / target;
  let at = scale * 0.5;
  return Array.from({ length: target }, () => {
    const place = Math.trunc(at);
    at += scale;
    return place;
  });
}
