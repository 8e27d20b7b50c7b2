// Is an artifact the network it claims to be? The checks of rapidnet verify on answers, with the bounds of the card.

import type { Card } from "../bundle/card.ts";
import { type Golden, listParts, type Part, type Rows } from "./golden.ts";

/**
 * How far answers may be from the network's. sqnr: dB, at least; maxRelative: largest error over the largest value;
 * agreement: percent of first answers, at least, 0 where there are none; realOnly: noise and extremes are only reported;
 * controls: whether mistakes have to be noticed.
 */
export interface Tolerance {
  sqnr: number;
  maxRelative: number;
  agreement: number;
  realOnly: boolean;
  controls: boolean;
}

export interface Check {
  name: string;
  passed: boolean;
  figure: number;
  /** undefined: reported only. */
  bound: number | undefined;
  unit: "dB" | "%" | "of the largest value";
}

const NEAREST = "nearer to its own network than to any wrong one";
const MARGIN = 0.5;
/** A check so many times as strict must fail, else it would have let anything through. */
export const TIGHTER = 100;
// What fp32 is held to at the least strict; see rapidnet.export.checks.
const EXACT = { sqnr: 112, maxRelative: 3e-6, agreement: 99.9 };

/** The bounds that the bundle was certified with, as its card has them. */
export function readTolerance(card: Card): Tolerance {
  const { checks } = card.certificate;
  const bound = (pattern: RegExp) =>
    Number(checks.find(({ name, bound }) => pattern.test(name) && typeof bound === "number")?.bound ?? 0);
  return {
    sqnr: bound(/real inputs: SQNR$/),
    maxRelative: bound(/real inputs: largest error$/),
    agreement: bound(/^golden images: same first answer/),
    realOnly: checks.some((check) => check.bound === "reported only"),
    controls: checks.some(({ name }) => name === NEAREST),
  };
}

export function tighten(tolerance: Tolerance): Tolerance {
  return {
    ...tolerance,
    sqnr: tolerance.sqnr + 20 * Math.log10(TIGHTER),
    maxRelative: tolerance.maxRelative / TIGHTER,
  };
}

/** All checks of rows against `reference`; `inputs`: which of the golden inputs, all by default. */
export function judge(
  output: Rows,
  golden: Golden,
  reference: Rows,
  tolerance: Tolerance,
  inputs = [...golden.kinds.keys()],
): Check[] {
  const checks: Check[] = [];
  const size = golden.values;
  const finite = inputs.every((i) => output.subarray(i * size, (i + 1) * size).every(Number.isFinite));
  if (!finite)
    return [
      { name: "finite values", passed: false, figure: Number.NEGATIVE_INFINITY, bound: tolerance.sqnr, unit: "dB" },
    ];
  for (const part of listParts(golden)) {
    const largest = measureLargest(reference, size, part, golden.count);
    for (const kind of ["real", "random", "extreme"]) {
      const chosen = inputs.filter((i) => golden.kinds[i] === kind);
      if (chosen.length === 0) continue;
      const judged = kind === "real" || !tolerance.realOnly;
      const { sqnr, error } = compare(output, reference, size, part, chosen);
      const [least, most] = judged ? [tolerance.sqnr, tolerance.maxRelative] : [undefined, undefined];
      const named = `${part.name}${kind} inputs`;
      checks.push({
        name: `${named}: SQNR`,
        passed: !judged || sqnr >= tolerance.sqnr,
        figure: sqnr,
        bound: least,
        unit: "dB",
      });
      const relative = error / largest;
      checks.push({
        name: `${named}: largest error`,
        passed: !judged || relative <= tolerance.maxRelative,
        figure: relative,
        bound: most,
        unit: "of the largest value",
      });
    }
  }
  const real = inputs.filter((i) => golden.kinds[i] === "real");
  if (tolerance.controls) checks.push(checkNearest(output, golden, reference, real));
  if (tolerance.agreement > 0) checks.push(checkAnswers(output, golden, reference, real, tolerance.agreement));
  return checks;
}

function measureLargest(rows: Rows, size: number, part: Part, count: number): number {
  let largest = 0;
  for (let i = 0; i < count; i++) {
    for (let at = i * size + part.start; at < i * size + part.end; at++)
      largest = Math.max(largest, Math.abs(rows[at]));
  }
  return largest;
}

/** sqnr: 10 log10 of the reference's energy over the error's, in dB; error: the largest. */
export function compare(
  output: Rows,
  reference: Rows,
  size: number,
  part: Part,
  inputs: number[],
): { sqnr: number; error: number } {
  let signal = 0;
  let noise = 0;
  let error = 0;
  for (const input of inputs) {
    for (let at = input * size + part.start; at < input * size + part.end; at++) {
      const difference = Math.abs(reference[at] - output[at]);
      signal += reference[at] * reference[at];
      noise += difference * difference;
      error = Math.max(error, difference);
    }
  }
  return { sqnr: noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise), error };
}

/** Nearer to its own network than to every one with a mistake, by half a decibel or more? */
function checkNearest(output: Rows, golden: Golden, reference: Rows, real: number[]): Check {
  const others = [...golden.wrong.values(), golden.reference].filter((other) => other !== reference);
  let margin = Number.POSITIVE_INFINITY;
  for (const part of listParts(golden)) {
    const distance = (rows: Rows) => compare(output, rows, golden.values, part, real).sqnr;
    const nearest = Math.max(...others.map(distance), Number.NEGATIVE_INFINITY);
    margin = Math.min(margin, distance(reference) - nearest);
  }
  return { name: NEAREST, passed: margin >= MARGIN, figure: margin, bound: MARGIN, unit: "dB" };
}

function checkAnswers(output: Rows, golden: Golden, reference: Rows, real: number[], least: number): Check {
  const first = (rows: Rows, input: number) => {
    const row = rows.subarray(input * golden.values, (input + 1) * golden.values);
    return row.indexOf(row.reduce((a, b) => Math.max(a, b)));
  };
  const same = real.filter((input) => first(output, input) === first(reference, input)).length;
  const share = (100 * same) / real.length;
  return {
    name: `golden images: same first answer (${same} of ${real.length})`,
    passed: share >= least,
    figure: share,
    bound: least,
    unit: "%",
  };
}

/** A hundred times as strict; where a small network meets even that, fp32's own bounds, then those a hundredfold. */
export function findStricter(output: Rows, golden: Golden, tolerance: Tolerance): Tolerance {
  const exact = { ...tolerance, ...EXACT, agreement: tolerance.agreement && EXACT.agreement };
  for (const strict of [tighten(tolerance), exact]) {
    if (!judge(output, golden, golden.reference, strict).every(({ passed }) => passed)) return strict;
  }
  return tighten(exact);
}
