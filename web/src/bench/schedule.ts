// How long is measured, in which portions? As rapidnet bench does; see docs/benchmark.md.

import { median } from "./statistics.ts";

/** At least `runs` runs and `seconds` seconds, in at least `blocks` blocks, after warming up. */
export interface Mode {
  runs: number;
  seconds: number;
  blocks: number;
  warmRuns: number;
  warmSeconds: number;
  headline: boolean;
}

export const MODES = {
  quick: { runs: 100, seconds: 5, blocks: 20, warmRuns: 10, warmSeconds: 2, headline: false },
  standard: { runs: 1024, seconds: 60, blocks: 60, warmRuns: 10, warmSeconds: 2, headline: true },
} satisfies Record<string, Mode>;
export type ModeName = keyof typeof MODES;

const LONGEST_BLOCK = 1000;
const WARM_PER_BLOCK = 2;
/** Between blocks the worker lets messages in, such as the wish to stop. */
const breathe = () => new Promise((resolve) => setTimeout(resolve, 0));

/** Milliseconds of one call. */
export async function time(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** Milliseconds of every run, in blocks. report: is told the share done; stopped: asked between blocks. */
export async function takeBlocks(
  run: () => Promise<unknown>,
  mode: Mode,
  report: (share: number) => void,
  stopped: () => boolean,
): Promise<number[][]> {
  const warm: number[] = [];
  while (warm.length < mode.warmRuns || warm.reduce((a, b) => a + b, 0) < mode.warmSeconds * 1e3)
    warm.push(await time(run));
  const { size, count } = planBlocks(median(warm.slice(-mode.warmRuns)), mode);
  const blocks: number[][] = [];
  while (blocks.length < count && !stopped()) {
    for (let i = 0; i < WARM_PER_BLOCK; i++) await run();
    const times: number[] = [];
    for (let i = 0; i < size; i++) times.push(await time(run));
    blocks.push(times);
    report(blocks.length / count);
    await breathe();
  }
  return blocks;
}

/** Runs in a block, and blocks, that make up a mode for runs of so many milliseconds. */
export function planBlocks(runMs: number, mode: Mode): { size: number; count: number } {
  const runs = Math.max(mode.runs, Math.ceil((mode.seconds * 1e3) / runMs));
  const size = Math.min(LONGEST_BLOCK, Math.ceil(runs / mode.blocks));
  return { size, count: Math.max(mode.blocks, Math.ceil(runs / size)) };
}
