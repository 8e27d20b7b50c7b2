// What do the page and its worker say to each other?

import type { Answer } from "../answers/answer.ts";
import type { ModeName } from "../bench/schedule.ts";
import type { Estimate } from "../bench/statistics.ts";
import type { Card } from "../bundle/card.ts";
import type { Certificate } from "../verify/certificate.ts";
import type { Check } from "../verify/checks.ts";
import type { BackendId } from "./offers.ts";

/** Milliseconds of the steps from a file to an answer; decode is 0 for a frame of the camera. */
export interface Steps {
  decode: number;
  resize: number;
  network: number;
  post: number;
}

/** preview: the picture as it was decoded, for the screen. note: what was done that the user may not expect. */
export interface Answered {
  answer: Answer;
  steps: Steps;
  width: number;
  height: number;
  note: string;
  preview?: ImageBitmap;
}

export interface BenchResult {
  estimate: Estimate;
  times: number[][];
  firstMs: number;
  steps: Steps;
  stepRuns: number;
  stopped: boolean;
}

/** Each request's arguments and its result. Of a picture: `file`, or a `frame` of the camera, which gets no preview. */
export interface Calls {
  open: {
    asks: { backend: BackendId; threads: number; card: Card; model: Uint8Array; golden: Uint8Array };
    gives: { loadMs: number };
  };
  answer: { asks: { file?: Blob; frame?: ImageBitmap; name: string }; gives: Answered };
  glance: { asks: Record<string, never>; gives: { agrees: boolean; checks: Check[]; firstMs: number } };
  time: { asks: { milliseconds: number }; gives: { median: number; runs: number } };
  runs: { asks: { runs: number }; gives: { times: number[] } };
  verify: { asks: Record<string, never>; gives: Certificate };
  bench: { asks: { mode: ModeName; file: Blob; name: string }; gives: BenchResult };
  stop: { asks: Record<string, never>; gives: undefined };
}
export type CallName = keyof Calls;

export type Request = { [K in CallName]: { id: number; call: K; asks: Calls[K]["asks"] } }[CallName];
export type Reply =
  | { id: number; kind: "done"; value: unknown }
  | { id: number; kind: "progress"; share: number }
  | { id: number; kind: "failed"; message: string; ours: boolean };
