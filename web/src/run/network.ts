// How does an opened artifact answer pixels? One that wants normalised images gets them, one for a fixed batch gets one.

import type { Outputs } from "../answers/answer.ts";
import type { Card } from "../bundle/card.ts";
import { openSession } from "./engines.ts";
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
  const { ort, session } = await openSession(backend, threads, model);
  const batch = card.input.min_batch;
  return {
    run: async (pixels, { height, width }) => {
      const one = card.input.dtype === "float32" ? normalise(pixels, card.preprocessing) : pixels;
      const data = batch > 1 ? repeat(one, batch) : one;
      const tensor = new ort.Tensor(card.input.dtype, data as Uint8Array, [batch, 3, height, width]);
      const found = await session.run({ [session.inputNames[0]]: tensor });
      const outputs: Outputs = {};
      for (const name of session.outputNames) {
        const { dims, data: values } = found[name];
        const own = values.length / dims[0];
        // Numbers of classes come as 64-bit integers.
        const first = (values as Float32Array).subarray(0, own);
        outputs[name] = {
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
