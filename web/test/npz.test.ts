// Are numpy's files read, stored and deflated ones alike?

import assert from "node:assert/strict";
import { test } from "node:test";
import { readNpz } from "../src/verify/npz.ts";
import { readBytes } from "./cases.ts";

test("both kinds of files hold the same arrays", async () => {
  const [packed, stored] = [await readNpz(readBytes("arrays.npz")), await readNpz(readBytes("stored.npz"))];
  assert.ok(packed.size > 50);
  assert.deepEqual(packed, stored);
});

test("column order becomes row order, texts are texts", async () => {
  const arrays = await readNpz(readBytes("arrays.npz"));
  assert.deepEqual(
    [...(arrays.get("columns")?.data ?? [])],
    Array.from({ length: 24 }, (_, i) => i),
  );
  assert.deepEqual(arrays.get("columns")?.shape, [2, 3, 4]);
  assert.deepEqual(arrays.get("words")?.texts, ["real", "ängste", "x"]);
});

test("what is no such file is refused in a sentence", async () => {
  await assert.rejects(readNpz(new Uint8Array(100)), /golden\.npz is damaged/);
  const bytes = readBytes("stored.npz");
  const at = new TextDecoder("latin1").decode(bytes).indexOf("'<f4'");
  bytes.set(new TextEncoder().encode("'<c8'"), at);
  await assert.rejects(readNpz(bytes), /numbers as <c8/);
});
