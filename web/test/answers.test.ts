// Are boxes, classes of pixels, masks and colours those that Python finds?

import assert from "node:assert/strict";
import { test } from "node:test";
import { buildAnswer, keepSure, type ObjectAnswer, type Outputs, rank } from "../src/answers/answer.ts";
import { inkOn, pickColor } from "../src/answers/colors.ts";
import { selectDetections } from "../src/answers/detections.ts";
import { enlargeAndPick, pasteMask } from "../src/answers/maps.ts";
import type { Card } from "../src/bundle/card.ts";
import { dataOf, readCases } from "./cases.ts";

test("the same boxes remain", () => {
  for (const { boxes, scores, limits, ...found } of readCases("detections")) {
    const answer = selectDetections(dataOf(boxes), dataOf(scores), scores.shape[1], limits);
    assert.deepEqual(answer.boxes, dataOf(found.found_boxes));
    assert.deepEqual(answer.scores, dataOf(found.found_scores));
    assert.deepEqual([...answer.labels], [...dataOf<Float64Array>(found.found_labels)]);
  }
});

test("another threshold keeps other boxes", () => {
  const [{ boxes, scores, limits, found_boxes }] = readCases("detections");
  const looser = selectDetections(dataOf(boxes), dataOf(scores), scores.shape[1], { ...limits, iou_threshold: 0.9 });
  assert.notDeepEqual(looser.boxes, dataOf(found_boxes));
});

test("classes of pixels are picked after enlarging", () => {
  for (const { maps, to, picked } of readCases("enlarge")) {
    const [classes, height, width] = maps.shape;
    const found = enlargeAndPick(dataOf(maps), classes, { height, width }, { height: to[0], width: to[1] });
    assert.deepEqual(found, dataOf(picked));
  }
});

test("masks lie in their boxes", () => {
  for (const { boxes, masks, size, pasted } of readCases("masks")) {
    const [count, cells] = masks.shape;
    for (let i = 0; i < count; i++) {
      const mask = dataOf<Float32Array>(masks).subarray(i * cells * cells, (i + 1) * cells * cells);
      const box = dataOf<Float32Array>(boxes).subarray(i * 4, i * 4 + 4);
      const found = pasteMask(mask, cells, box, { height: size[0], width: size[1] }, 0.5);
      const whole = new Uint8Array(size[0] * size[1]);
      for (let y = 0; y < found.height; y++) {
        whole.set(found.data.subarray(y * found.width, (y + 1) * found.width), (y + found.top) * size[1] + found.left);
      }
      assert.deepEqual(whole, dataOf<Uint8Array>(pasted).subarray(i * whole.length, (i + 1) * whole.length));
    }
  }
});

test("classes have the colours of every other picture", () => {
  const [{ colors }] = readCases("colors");
  for (let i = 0; i < colors.shape[0]; i++) {
    assert.deepEqual(pickColor(i), [...dataOf<Uint8Array>(colors).subarray(i * 3, i * 3 + 3)], `class ${i}`);
  }
  assert.equal(inkOn([255, 255, 255]), "#000");
  assert.equal(inkOn([31, 119, 180]), "#fff");
});

test("of equal probabilities the later class is first, and only sure objects are shown", () => {
  assert.deepEqual(rank(Float32Array.of(0.2, 0.5, 0.1, 0.2), 3), [1, 3, 0]);
  const answer = {
    kind: "objects" as const,
    boxes: new Float32Array(8),
    scores: Float32Array.of(0.9, 0.4),
    labels: Int32Array.of(1, 2),
  };
  const kept = keepSure(answer, 0.5);
  assert.ok(kept.kind === "objects" && kept.scores.length === 1 && kept.boxes.length === 4);
});

test("whole outputs become the same answers", () => {
  for (const { card, size, inside, ...named } of readCases("answer")) {
    const outputs: Outputs = {};
    for (const [name, array] of Object.entries(named)) {
      if (name.startsWith("output.")) outputs[name.slice(7)] = { data: dataOf<Float32Array>(array), dims: array.shape };
    }
    const sides = ([height, width]: number[]) => ({ height, width });
    const placed = { pixels: new Uint8Array(0), full: sides(inside), inside: sides(inside), size: sides(size) };
    const found = buildAnswer(card as Card, outputs, placed) as ObjectAnswer;
    assert.deepEqual(found.boxes, dataOf(named["found.boxes"]));
    assert.deepEqual(found.scores, dataOf(named["found.scores"]));
    assert.deepEqual([...found.labels], [...dataOf<Float64Array>(named["found.labels"])]);
    assert.ok(found.scores.length > 2);
    const area = size[0] * size[1];
    found.masks?.forEach((mask, i) => {
      const own = dataOf<Uint8Array>(named["found.masks"]).subarray(i * area, (i + 1) * area);
      for (let y = 0; y < mask.height; y++) {
        const from = (y + mask.top) * size[1] + mask.left;
        const row = mask.data.subarray(y * mask.width, (y + 1) * mask.width);
        assert.deepEqual(row, own.subarray(from, from + mask.width));
      }
      assert.equal(
        mask.data.reduce((a, b) => a + b, 0),
        own.reduce((a, b) => a + b, 0),
      );
    });
    assert.equal(found.masks?.length, named["found.masks"]?.shape[0]);
  }
});

test("logits become probabilities", () => {
  const outputs = { logits: { data: Float32Array.of(1, 3, -1, 9), dims: [2, 3] } };
  const placed = {
    pixels: new Uint8Array(0),
    full: { height: 1, width: 1 },
    inside: { height: 1, width: 1 },
    size: { height: 1, width: 1 },
  };
  const card = { task: "classification", classes: ["a", "b", "c"], output: { name: "logits" } } as unknown as Card;
  const found = buildAnswer(card, outputs, placed);
  assert.ok(found.kind === "classes" && Math.abs(found.probabilities[1] - 0.86681) < 1e-5);
  const many = buildAnswer({ ...card, task: "multilabel" }, outputs, placed);
  assert.ok(many.kind === "classes" && Math.abs(many.probabilities[0] - 0.73106) < 1e-5);
});
