// How does Pillow shrink and enlarge a picture? Bit for bit, so that a network sees here what it sees in Python.
//
// Pillow's resize, as its documentation and behaviour have it: each side on its own; each target pixel is a weighted mean
// over the source pixels under its filter, which widens with the scale when shrinking; weights are fixed-point numbers of
// 22 bits, and after each side the sum is rounded to 8 bits. So the order of the sides shows in the last bit: since
// Pillow 13 the height goes first where it loses more than twice what the width loses.

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

const clip = (sum: number) => Math.min(Math.max(sum, 0), 255);

/** Resize to width x height. Throws PageError for a filter other than bilinear, bicubic and nearest. */
export function resize(image: Raster, width: number, height: number, filter: string): Raster {
  if (width === image.width && height === image.height) return image;
  if (filter === "nearest") return resizeNearest(image, width, height);
  if (!(filter in FILTERS))
    throw new PageError(
      `The card asks for the interpolation ${filter}; this page knows bicubic, bilinear and nearest.`,
    );
  const kind = filter as Filter;
  const shrunk = image.height - height;
  if (shrunk > 0 && shrunk > 2 * (image.width - width))
    return resizeRows(resizeColumns(image, height, kind), width, kind);
  return resizeColumns(resizeRows(image, width, kind), height, kind);
}

function resizeRows(image: Raster, width: number, filter: Filter): Raster {
  if (width === image.width) return image;
  const { first, counts, values, stride } = weighSide(image.width, width, filter);
  const data = new Uint8Array(width * image.height * 3);
  for (let row = 0, to = 0; row < image.height; row++) {
    const start = row * image.width * 3;
    for (let place = 0; place < width; place++) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let from = start + first[place] * 3;
      for (let i = place * stride, end = i + counts[place]; i < end; i++, from += 3) {
        const weight = values[i];
        red = (red + image.data[from] * weight) | 0;
        green = (green + image.data[from + 1] * weight) | 0;
        blue = (blue + image.data[from + 2] * weight) | 0;
      }
      data[to++] = clip(red >> BITS);
      data[to++] = clip(green >> BITS);
      data[to++] = clip(blue >> BITS);
    }
  }
  return { width, height: image.height, data };
}

function resizeColumns(image: Raster, height: number, filter: Filter): Raster {
  if (height === image.height) return image;
  const { first, counts, values, stride } = weighSide(image.height, height, filter);
  const line = image.width * 3;
  const data = new Uint8Array(line * height);
  const sums = new Int32Array(line);
  for (let place = 0; place < height; place++) {
    sums.fill(HALF);
    for (let i = 0; i < counts[place]; i++) {
      const weight = values[place * stride + i];
      const start = (first[place] + i) * line;
      for (let x = 0; x < line; x++) sums[x] += image.data[start + x] * weight;
    }
    for (let x = 0; x < line; x++) data[place * line + x] = clip(sums[x] >> BITS);
  }
  return { width: image.width, height, data };
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
