// Is a backend refused for its numbers, and for nothing less?

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Card } from "../src/bundle/card.ts";
import { glance } from "../src/verify/certificate.ts";
import type { Golden } from "../src/verify/golden.ts";

const COUNT = 20;
const CLASSES = 2;

/** Golden answers of two classes, and a card that asks for 90% of the same first answers. */
function makeGolden(): { card: Card; golden: Golden } {
  const reference = new Float64Array(COUNT * CLASSES);
  for (let i = 0; i < COUNT; i++) reference.set([0.51, 0.49], i * CLASSES);
  const golden = {
    count: COUNT,
    values: CLASSES,
    shape: [3, 1, 1],
    kinds: Array(COUNT).fill("real"),
    pixels: Uint8Array.from({ length: COUNT * 3 }, (_, i) => Math.floor(i / 3)),
    reference,
    places: new Map(),
    wrong: new Map(),
    absent: new Map(),
  } as unknown as Golden;
  const checks = [
    { name: "real inputs: SQNR", passed: true, figure: 20, bound: 15, unit: "dB" },
    { name: "real inputs: largest error", passed: true, figure: 0.1, bound: 0.9, unit: "of the largest value" },
    { name: "golden images: same first answer (19 of 20)", passed: true, figure: 95, bound: 90, unit: "%" },
  ];
  const card = { output: { name: "probabilities" }, certificate: { checks } } as unknown as Card;
  return { card, golden };
}

/** A backend that gives the second class for the inputs in `wrong`, and counts its runs. */
function makeBackend(wrong: number[]) {
  const asked: number[] = [];
  const run = async ([index]: Uint8Array) => {
    asked.push(index);
    const data = Float32Array.from(wrong.includes(index) ? [0.49, 0.51] : [0.51, 0.49]);
    return { probabilities: { data, dims: [1, CLASSES] } };
  };
  return { asked, run };
}

test("a few inputs are enough where they agree", async () => {
  const { card, golden } = makeGolden();
  const { asked, run } = makeBackend([]);
  assert.equal((await glance(card, golden, run)).agrees, true);
  assert.equal(asked.length, 8);
});

test("one other answer among the first is no reason to refuse what all inputs allow", async () => {
  const { card, golden } = makeGolden();
  const { asked, run } = makeBackend([3]);
  assert.equal((await glance(card, golden, run)).agrees, true);
  assert.deepEqual(asked, [...Array(COUNT).keys()]);
});

test("too many other answers are", async () => {
  const { card, golden } = makeGolden();
  assert.equal((await glance(card, golden, makeBackend([1, 3, 5]).run)).agrees, false);
});
