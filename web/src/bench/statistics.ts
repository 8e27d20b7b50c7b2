// What do repeated timings say: how fast, and how steady? As rapidnet.benchmark.estimates has it.

export const MAX_SPREAD = 0.05;
export const MAX_DRIFT = 0.03;
const LEAST_BLOCKS = 6;
const TRIMMED = 0.99;

/** Milliseconds, but for shares of one: spread, drift. reasons: why the figures are not to be used; empty if steady. */
export interface Estimate {
  runs: number;
  p50: number;
  p90: number;
  p99: number;
  spread: number;
  drift: number;
  reasons: string[];
}

/** Of timings in blocks; percentiles interpolate linearly between runs. */
export function estimate(blocks: number[][]): Estimate {
  const sorted = blocks.flat().sort((a, b) => a - b);
  const drift = measureDrift(blocks.map(median));
  const spread = measureSpread(sorted.slice(0, Math.max(1, Math.ceil(TRIMMED * sorted.length))));
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const reasons: string[] = [];
  if (blocks.length < LEAST_BLOCKS) reasons.push(`only ${blocks.length} blocks of runs, ${LEAST_BLOCKS} are needed`);
  if (spread > MAX_SPREAD) reasons.push(`the runs spread by ${percent(spread)}, at most 5% is steady`);
  if (Math.abs(drift) > MAX_DRIFT) {
    reasons.push(
      `the latency drifted by ${drift > 0 ? "+" : ""}${percent(drift)} from the first third to the last, at most 3%`,
    );
  }
  return {
    runs: sorted.length,
    p50: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    spread,
    drift,
    reasons,
  };
}

/** Of sorted values. */
export function quantile(sorted: number[], share: number): number {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

export function median(values: number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

/** Standard deviation over mean. */
function measureSpread(values: number[]): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) / mean;
}

/** The median of the last third over that of the first, less one. */
function measureDrift(medians: number[]): number {
  const third = Math.max(1, Math.floor(medians.length / 3));
  return median(medians.slice(-third)) / median(medians.slice(0, third)) - 1;
}
