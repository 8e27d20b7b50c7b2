// Is a picture resized and placed as Pillow and rapidnet do it, to the last bit?

import assert from "node:assert/strict";
import { test } from "node:test";
import { prepare, roundHalfEven } from "../src/pictures/prepare.ts";
import { resize, weighSide } from "../src/pictures/resample.ts";
import { dataOf, readCases } from "./cases.ts";

test("every filter is Pillow's", () => {
  for (const { from, to, filter, pixels, resized } of readCases("resize")) {
    const image = { width: from[0], height: from[1], data: dataOf<Uint8Array>(pixels) };
    const found = resize(image, to[0], to[1], filter);
    assert.deepEqual(found.data, dataOf(resized), `${from} to ${to}, ${filter}`);
  }
});

test("a filter that does not widen when shrinking is noticed", () => {
  const [shrinking] = readCases("resize").filter(({ filter }) => filter === "bilinear");
  const image = { width: shrinking.from[0], height: shrinking.from[1], data: dataOf<Uint8Array>(shrinking.pixels) };
  const found = resize(image, shrinking.to[0], shrinking.to[1], "nearest");
  assert.notDeepEqual(found.data, dataOf(shrinking.resized));
  assert.equal(weighSide(100, 10, "bilinear").counts[5], 20);
});

test("pictures are placed as the contract says", () => {
  for (const { from, contract, pixels, placed, inside } of readCases("prepare")) {
    const image = { width: from[0], height: from[1], data: dataOf<Uint8Array>(pixels) };
    const found = prepare(image, contract);
    assert.deepEqual(found.pixels, dataOf(placed), JSON.stringify(contract));
    if (inside) assert.deepEqual([found.inside.height, found.inside.width], inside);
  }
});

test("halves are rounded to even numbers", () => {
  assert.deepEqual([0.5, 1.5, 2.5, 2.4, 2.6].map(roundHalfEven), [0, 2, 2, 2, 3]);
});
