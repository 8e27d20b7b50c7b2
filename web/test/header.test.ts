// Is every kind of picture known by its header, and every other file refused in a sentence?

import assert from "node:assert/strict";
import { test } from "node:test";
import { readHeader } from "../src/pictures/header.ts";

const text = (words: string) => new TextEncoder().encode(words.padEnd(40));
const join = (...parts: (number[] | string)[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...part].map((c) => c.charCodeAt(0)) : part)));

const png = (width: number, height: number, more: number[] = []) =>
  join(
    "\x89PNG\r\n\x1a\n",
    [0, 0, 0, 13],
    "IHDR",
    [0, 0, width >> 8, width & 255, 0, 0, height >> 8, height & 255, 8, 2, 0, 0, 0, 0, 0, 0, 0],
    more,
  );

test("a picture beyond the bound is refused before it is decoded", () => {
  assert.deepEqual(readHeader(png(300, 200), "a.png"), { format: "PNG", width: 300, height: 200, animated: false });
  assert.throws(() => readHeader(png(60_000, 60_000), "bomb.png"), /bomb\.png has 60000 x 60000 pixels/);
});

test("animations are known", () => {
  const control = [0, 0, 0, 8, ...[..."acTL"].map((c) => c.charCodeAt(0)), 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
  assert.equal(readHeader(png(3, 2, control), "a.png").animated, true);
  const frame = [0x2c, 0, 0, 0, 0, 3, 0, 2, 0, 0, 2, 1, 7, 0];
  assert.equal(readHeader(join("GIF89a", [3, 0, 2, 0, 0, 0, 0], frame, [0x3b]), "a.gif").animated, false);
  const twice = readHeader(join("GIF89a", [3, 0, 2, 0, 0, 0, 0], [0x21, 0xf9, 1, 0, 0], frame, frame, [0x3b]), "a.gif");
  assert.deepEqual(twice, { format: "GIF", width: 3, height: 2, animated: true });
});

test("a JPEG's size is behind its other segments", () => {
  const jpeg = join([
    0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc4, 0, 3, 9, 0xff, 0xc2, 0, 11, 8, 0, 200, 1, 44, 3, 0, 0, 0,
  ]);
  assert.deepEqual(readHeader(jpeg, "a.jpg"), { format: "JPEG", width: 300, height: 200, animated: false });
  assert.throws(() => readHeader(jpeg.subarray(0, 14), "a.jpg"), /cut short/);
});

test("what is none says what it is", () => {
  const refusals: [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /is empty/],
    [text("<!DOCTYPE html><p>"), /text of markup/],
    [text("II*\0"), /TIFF/],
    [text("0000ftypheic"), /HEIC/],
    [text("0000ftypavif"), /AVIF/],
    [text("hello"), /is not a picture/],
    [text("P6 3 2"), /PPM/],
  ];
  for (const [bytes, sentence] of refusals) assert.throws(() => readHeader(bytes, "x.jpg"), sentence);
});
