// Does an artifact pass every check in this browser, and does every check fail where it must?

import type { Outputs } from "../answers/answer.ts";
import { type Card, outputNames } from "../bundle/card.ts";
import { type Check, findStricter, judge, readTolerance, TIGHTER } from "./checks.ts";
import { exchangeColors, type Golden, gather, moveClasses, pickInput, type Rows } from "./golden.ts";

/** A deliberate mistake, and whether the checks noticed it; undefined where it cannot be made, with `why`. */
export interface Control {
  name: string;
  caught: boolean | undefined;
  tripped: string[];
  why: string;
}

export interface Certificate {
  passed: boolean;
  inputs: number;
  checks: Check[];
  controls: Control[];
}

/** uint8 RGB [3, H, W] -> outputs. */
export type Run = (pixels: Uint8Array) => Promise<Outputs>;

/** Run all golden inputs, judge the answers, make each mistake and judge it by the same checks. */
export async function certify(
  card: Card,
  golden: Golden,
  run: Run,
  report: (share: number) => void,
): Promise<Certificate> {
  const first = outputNames(card)[0];
  const [output, moved, exchanged] = [0, 0, 0].map(() => new Float64Array(golden.count * golden.values));
  for (let i = 0; i < golden.count; i++) {
    const outputs = await run(pickInput(golden, i));
    output.set(gather(golden, outputs, first), i * golden.values);
    moved.set(gather(golden, moveClasses(golden, outputs), first), i * golden.values);
    exchanged.set(gather(golden, await run(exchangeColors(pickInput(golden, i))), first), i * golden.values);
    report((i + 1) / golden.count);
  }
  const tolerance = readTolerance(card);
  const checks = judge(output, golden, golden.reference, tolerance);
  const strict = findStricter(output, golden, tolerance);
  const attempts = new Map<string, Check[]>([
    ["blue and red exchanged", judge(exchanged, golden, golden.reference, tolerance)],
    ["shuffled labels", judge(moved, golden, golden.reference, tolerance)],
    [`a ${TIGHTER}x tighter tolerance`, judge(output, golden, golden.reference, strict)],
  ]);
  for (const [name, reference] of golden.wrong) attempts.set(name, judge(output, golden, reference, tolerance));
  const controls = [...attempts]
    .filter(([name]) => !golden.absent.has(name))
    .map(([name, judged]): Control => {
      const tripped = judged.filter(({ passed }) => !passed).map((check) => check.name);
      const excused = tripped.length === 0 && !tolerance.controls;
      const why = excused ? "a network without training cannot show it in int8" : "";
      return { name, caught: excused ? undefined : tripped.length > 0, tripped, why };
    });
  for (const [name, why] of golden.absent) controls.push({ name, caught: undefined, tripped: [], why });
  const passed = checks.every((check) => check.passed) && controls.every(({ caught }) => caught !== false);
  return { passed, inputs: golden.count, checks, controls };
}

/** How many inputs of each kind the glance at a backend takes, before it is timed. */
const GLANCE = 8;

/**
 * Do a few golden answers agree? What a backend must show before it may be chosen; not the whole certificate.
 *
 * The bounds were set for all inputs: where a few miss them, all are asked before the backend is refused.
 */
export async function glance(card: Card, golden: Golden, run: Run): Promise<{ agrees: boolean; checks: Check[] }> {
  const output: Rows = new Float64Array(golden.count * golden.values);
  const answered = new Set<number>();
  const judgeFirst = async (most: number) => {
    const inputs = ["real", "random", "extreme"].flatMap((kind) =>
      [...golden.kinds.keys()].filter((i) => golden.kinds[i] === kind).slice(0, most),
    );
    for (const i of inputs.filter((i) => !answered.has(i))) {
      output.set(gather(golden, await run(pickInput(golden, i)), outputNames(card)[0]), i * golden.values);
      answered.add(i);
    }
    const checks = judge(output, golden, golden.reference, readTolerance(card), inputs);
    return { agrees: checks.every(({ passed }) => passed), checks };
  };
  const few = await judgeFirst(GLANCE);
  return few.agrees ? few : judgeFirst(golden.count);
}
