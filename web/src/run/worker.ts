// What runs beside the page, so that it never waits: one network in one backend, from a picture to an answer.

import { buildAnswer } from "../answers/answer.ts";
import { MODES, takeBlocks, time } from "../bench/schedule.ts";
import { estimate, median } from "../bench/statistics.ts";
import type { Card } from "../bundle/card.ts";
import { PageError } from "../errors.ts";
import { type Decoded, decodeFile, readPixels } from "../pictures/decode.ts";
import { prepare } from "../pictures/prepare.ts";
import { certify, glance } from "../verify/certificate.ts";
import { type Golden, pickInput, readGolden } from "../verify/golden.ts";
import { type Network, openNetwork } from "./network.ts";
import type { Answered, BenchResult, CallName, Calls, Reply, Request, Steps } from "./protocol.ts";

const PREVIEW_SIDE = 1600;
const STEP_RUNS = 20;
const LEAST_RUNS = 5;

let card: Card;
let network: Network;
let golden: Golden;
let packedGolden: Uint8Array<ArrayBuffer>;
let stopAsked = false;

type Report = (share: number) => void;
type Handlers = { [K in CallName]: (asks: Calls[K]["asks"], report: Report) => Promise<Calls[K]["gives"]> };

const handlers: Handlers = {
  open: async (asks) => {
    card = asks.card;
    packedGolden = asks.golden as Uint8Array<ArrayBuffer>;
    const start = performance.now();
    network = await openNetwork(asks.backend, asks.threads, asks.model, asks.card);
    return { loadMs: performance.now() - start };
  },
  answer: async ({ file, frame, name }) => answerPicture(file, frame, name),
  glance: async () => {
    await readGoldenOnce();
    const firstMs = await time(() => runGolden(pickInput(golden, 0)));
    return { ...(await glance(card, golden, runGolden)), firstMs };
  },
  time: async ({ milliseconds }) => {
    const input = pickInput(golden, 0);
    const times: number[] = [];
    let spent = 0;
    for (let i = 0; i < 2; i++) await runGolden(input);
    while (times.length < LEAST_RUNS || spent < milliseconds) {
      times.push(await time(() => runGolden(input)));
      spent += times[times.length - 1];
    }
    return { median: median(times), runs: times.length };
  },
  runs: async ({ runs }) => {
    const input = pickInput(golden, 0);
    const times: number[] = [];
    while (times.length < runs) times.push(await time(() => runGolden(input)));
    return { times };
  },
  verify: async (_, report) => {
    await readGoldenOnce();
    return certify(card, golden, runGolden, report);
  },
  bench,
  stop: async () => {
    stopAsked = true;
    return undefined;
  },
};

async function readGoldenOnce(): Promise<void> {
  golden ??= await readGolden(packedGolden);
}

function runGolden(pixels: Uint8Array) {
  const [, height, width] = golden.shape;
  return network.run(pixels, { height, width });
}

async function answerPicture(file: Blob | undefined, frame: ImageBitmap | undefined, name: string): Promise<Answered> {
  const steps: Steps = { decode: 0, resize: 0, network: 0, post: 0 };
  let decoded: Decoded = { bitmap: frame as ImageBitmap, note: "" };
  const start = performance.now();
  if (file) decoded = await decodeFile(file, name);
  const image = readPixels(decoded.bitmap);
  const ready = performance.now();
  const placed = prepare(image, card.preprocessing);
  const prepared = performance.now();
  const outputs = await network.run(placed.pixels, placed.full);
  const answered = performance.now();
  const answer = buildAnswer(card, outputs, placed);
  steps.decode = ready - start;
  steps.resize = prepared - ready;
  steps.network = answered - prepared;
  steps.post = performance.now() - answered;
  const found: Answered = { answer, steps, width: image.width, height: image.height, note: decoded.note };
  if (file) found.preview = await shrink(decoded.bitmap);
  decoded.bitmap.close();
  return found;
}

async function shrink(bitmap: ImageBitmap): Promise<ImageBitmap> {
  const scale = Math.min(1, PREVIEW_SIDE / Math.max(bitmap.width, bitmap.height));
  const resizeWidth = Math.max(1, Math.round(bitmap.width * scale));
  const resizeHeight = Math.max(1, Math.round(bitmap.height * scale));
  return createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: "medium" });
}

/** The network alone in blocks; then the way from a file to an answer, step by step. */
async function bench({ mode, file, name }: Calls["bench"]["asks"], report: Report): Promise<BenchResult> {
  stopAsked = false;
  await readGoldenOnce();
  const input = pickInput(golden, 0);
  const firstMs = await time(() => runGolden(input));
  const times = await takeBlocks(
    () => runGolden(input),
    MODES[mode],
    report,
    () => stopAsked,
  );
  const all: Steps[] = [];
  while (all.length < STEP_RUNS && !stopAsked) {
    const { steps, preview } = await answerPicture(file, undefined, name);
    preview?.close();
    all.push(steps);
  }
  const middle = (step: keyof Steps) => (all.length ? median(all.map((steps) => steps[step])) : Number.NaN);
  const steps = {
    decode: middle("decode"),
    resize: middle("resize"),
    network: middle("network"),
    post: middle("post"),
  };
  return { estimate: estimate(times), times, firstMs, steps, stepRuns: all.length, stopped: stopAsked };
}

/** What crosses to the page without being copied. */
function listTransfers(value: unknown): Transferable[] {
  const preview = (value as Partial<Answered> | undefined)?.preview;
  return preview ? [preview] : [];
}

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  const { id } = data;
  const reply = (message: Reply, transfer: Transferable[] = []) => self.postMessage(message, { transfer });
  try {
    const handle = handlers[data.call] as (asks: unknown, report: Report) => Promise<unknown>;
    const value = await handle(data.asks, (share) => reply({ id, kind: "progress", share }));
    reply({ id, kind: "done", value }, listTransfers(value));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    reply({ id, kind: "failed", message, ours: error instanceof PageError });
  }
};
