// On which inputs is an artifact held against its network, and what did that answer? Read from a bundle's golden.npz.

import type { Outputs } from "../answers/answer.ts";
import { PageError } from "../errors.ts";
import { type NpyArray, readNpz } from "./npz.ts";

/** Answers to all golden inputs, [inputs x values]. */
export type Rows = Float64Array;

/** Columns of a row that belong to one output; `name` begins the name of its checks. */
export interface Part {
  name: string;
  start: number;
  end: number;
}

/**
 * pixels: uint8 [N, 3, H, W]; kinds: "real", "random" or "extreme" of each; reference: what the trained network answers,
 * in double precision; wrong: what networks with one mistake answer; absent: mistakes that cannot be shown, with why.
 * places: of answers that are not classes, which values of which output a row holds; empty for classifiers.
 */
export interface Golden {
  count: number;
  values: number;
  shape: [channels: number, height: number, width: number];
  pixels: Uint8Array;
  kinds: string[];
  reference: Rows;
  wrong: Map<string, Rows>;
  absent: Map<string, string>;
  places: Map<string, Float64Array>;
}

/** Throws PageError for a file that lacks something. */
export async function readGolden(bytes: Uint8Array<ArrayBuffer>): Promise<Golden> {
  const arrays = await readNpz(bytes);
  const take = (name: string): NpyArray => {
    const found = arrays.get(name);
    if (!found) throw new PageError(`golden.npz lacks ${name}; take the bundle anew.`);
    return found;
  };
  const pixels = take("pixels");
  const reference = take("reference");
  const named = <T>(prefix: string, read: (array: NpyArray) => T) =>
    new Map(
      [...arrays]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, array]) => [name.slice(prefix.length), read(array)]),
    );
  return {
    count: pixels.shape[0],
    values: reference.shape[1],
    shape: [pixels.shape[1], pixels.shape[2], pixels.shape[3]],
    pixels: pixels.data as Uint8Array,
    kinds: take("kinds").texts ?? [],
    reference: Float64Array.from(reference.data),
    wrong: named("wrong.", (array) => Float64Array.from(array.data)),
    absent: named("absent.", (array) => array.texts?.[0] ?? ""),
    places: named("places.", (array) => Float64Array.from(array.data)),
  };
}

export function listParts(golden: Golden): Part[] {
  if (golden.places.size === 0) return [{ name: "", start: 0, end: golden.values }];
  let start = 0;
  return [...golden.places].map(([name, chosen]) => {
    const part = { name: `${name}, `, start, end: start + chosen.length };
    start = part.end;
    return part;
  });
}

/** The pixels of one input. */
export function pickInput(golden: Golden, index: number): Uint8Array {
  const size = golden.shape[0] * golden.shape[1] * golden.shape[2];
  return golden.pixels.subarray(index * size, (index + 1) * size);
}

/** An input with blue and red exchanged: a deliberate mistake. */
export function exchangeColors(pixels: Uint8Array): Uint8Array {
  const area = pixels.length / 3;
  const exchanged = pixels.slice();
  exchanged.set(pixels.subarray(2 * area), 0);
  exchanged.set(pixels.subarray(0, area), 2 * area);
  return exchanged;
}

/** The row that outputs for one input make; the first output alone where a row is a whole answer. */
export function gather(golden: Golden, outputs: Outputs, first: string): Float64Array {
  if (golden.places.size === 0) return Float64Array.from(outputs[first].data.subarray(0, golden.values));
  const row = new Float64Array(golden.values);
  let at = 0;
  for (const [name, chosen] of golden.places) for (const place of chosen) row[at++] = outputs[name].data[place];
  return row;
}

// Output -> which of its dimensions the classes are.
const CLASS_AXES: Record<string, number> = { probabilities: 1, logits: 1, scores: 2 };

/** The same outputs with each class taken for the next. */
export function moveClasses(golden: Golden, outputs: Outputs): Outputs {
  const moved: Outputs = { ...outputs };
  for (const [name, { data, dims }] of Object.entries(outputs)) {
    const axis = CLASS_AXES[name];
    if (axis === undefined || (golden.places.size > 0 && !golden.places.has(name))) continue;
    const classes = dims[axis];
    const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
    const changed = new Float32Array(data.length);
    for (let i = 0; i < data.length; i++) {
      const group = Math.floor(i / (classes * inner)) * classes * inner;
      changed[group + ((i - group + inner) % (classes * inner))] = data[i];
    }
    moved[name] = { data: changed, dims };
  }
  return moved;
}
