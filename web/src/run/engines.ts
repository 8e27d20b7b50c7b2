// What opens an artifact? One row a format, in it one a backend: the same names as in offers.ts.

import type { Card } from "../bundle/card.ts";
import { openLiteRt } from "./litert.ts";
import type { BackendId } from "./offers.ts";
import { openWasm, openWebGpu } from "./onnx.ts";

/** One input [B, 3, H, W] -> outputs by name, the batch first; numbers of classes may be integers of any kind. */
export type Run = (
  data: Uint8Array | Float32Array,
  dims: number[],
) => Promise<Record<string, { dims: readonly number[]; data: ArrayLike<number | bigint> }>>;

/** `threads` can be set once in a worker's life. */
export type OpenArtifact = (model: Uint8Array, threads: number, card: Card) => Promise<Run>;

export const ENGINES: Record<string, Partial<Record<BackendId, OpenArtifact>>> = {
  onnx: { wasm: openWasm, webgpu: openWebGpu },
  litert: { wasm: openLiteRt },
};
