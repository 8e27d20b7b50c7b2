// Do timings say what they say in Python, and are there as many as the protocol asks for?

import assert from "node:assert/strict";
import { test } from "node:test";
import { MODES, planBlocks, takeBlocks } from "../src/bench/schedule.ts";
import { estimate } from "../src/bench/statistics.ts";
import { dataOf, readCases } from "./cases.ts";

test("the same estimates", () => {
  for (const { times, expected } of readCases("estimate")) {
    const [blocks, runs] = times.shape;
    const flat = [...dataOf<Float64Array>(times)];
    const found = estimate(Array.from({ length: blocks }, (_, i) => flat.slice(i * runs, (i + 1) * runs)));
    for (const name of ["runs", "p50", "p90", "p99", "spread", "drift"] as const) {
      assert.ok(Math.abs(found[name] - expected[name]) < 1e-9, name);
    }
    assert.deepEqual(found.reasons, expected.reasons);
  }
});

test("drifting, spreading and few timings are called unsteady", () => {
  const drifting = Array.from({ length: 12 }, (_, i) => Array(10).fill(10 + i * 0.1));
  assert.match(estimate(drifting).reasons.join(), /drifted by \+/);
  assert.match(estimate(Array.from({ length: 12 }, () => [5, 15, 5, 15])).reasons.join(), /spread by 50\.0%/);
  assert.match(estimate([[1, 1]]).reasons.join(), /only 1 blocks/);
  assert.deepEqual(estimate(Array.from({ length: 12 }, () => [7, 7, 7])).reasons, []);
});

test("a mode has at least its runs, seconds and blocks", () => {
  assert.deepEqual(planBlocks(10, MODES.standard), { size: 100, count: 60 });
  assert.deepEqual(planBlocks(500, MODES.standard), { size: 18, count: 60 });
  assert.deepEqual(planBlocks(500, MODES.quick), { size: 5, count: 20 });
});

test("warming up does not count, and a wish to stop is heard", async () => {
  let calls = 0;
  const mode = { runs: 20, seconds: 0, blocks: 4, warmRuns: 3, warmSeconds: 0, headline: false };
  const run = async () => calls++;
  const blocks = await takeBlocks(
    run,
    mode,
    () => {},
    () => false,
  );
  assert.equal(blocks.flat().length, 20);
  assert.equal(calls, 3 + 4 * 2 + 20);
  assert.equal(
    (
      await takeBlocks(
        run,
        mode,
        () => {},
        () => true,
      )
    ).length,
    0,
  );
});
