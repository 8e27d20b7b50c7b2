// How does an opened artifact answer pixels? One that wants normalised images gets them, one for a fixed batch gets one.

import type { Outputs } from "../answers/answer.ts";
import type { Card } from "../bundle/card.ts";
import { PageError } from "../errors.ts";
import { ENGINES } from "./engines.ts";
import type { BackendId } from "./offers.ts";

export interface Network {
  /** uint8 RGB [3, H, W] -> outputs of that one image. */
  run(pixels: Uint8Array, size: { height: number; width: number }): Promise<Outputs>;
}

export async function openNetwork(
  backend: BackendId,
  threads: number,
  model: Uint8Array,
  card: Card,
): Promise<Network> {
  const open = ENGINES[card.format]?.[backend];
  if (!open) throw new PageError(`Bundles for ${card.format} do not run in ${backend}; choose another backend.`);
  const run = await open(model, threads, card);
  const batch = card.input.min_batch;
  return {
    run: async (pixels, { height, width }) => {
      const one = card.input.dtype === "float32" ? normalise(pixels, card.preprocessing) : pixels;
      const found = await run(batch > 1 ? repeat(one, batch) : one, [batch, 3, height, width]);
      const outputs: Outputs = {};
      for (const [name, { dims, data }] of Object.entries(found)) {
        const first = (data as Float32Array).subarray(0, data.length / dims[0]);
        outputs[name] = {
          // Numbers of classes come as integers.
          data: first instanceof Float32Array ? first : Float32Array.from(first as Iterable<number | bigint>, Number),
          dims: [1, ...dims.slice(1)],
        };
      }
      return outputs;
    },
  };
}

/** (pixel / 255 - mean) / std, [3, H, W]. */
function normalise(pixels: Uint8Array, { mean, std }: { mean: number[]; std: number[] }): Float32Array {
  const area = pixels.length / 3;
  return Float32Array.from(pixels, (pixel, i) => {
    const channel = Math.floor(i / area);
    return (pixel / 255 - mean[channel]) / std[channel];
  });
}

function repeat<T extends Uint8Array | Float32Array>(one: T, times: number): T {
  const all = new (one.constructor as new (length: number) => T)(one.length * times);
  for (let i = 0; i < times; i++) all.set(one, i * one.length);
  return all;
}
