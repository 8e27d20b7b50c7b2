// Is a card's hash Python's, and is every other card refused?

import assert from "node:assert/strict";
import { test } from "node:test";
import { readCard } from "../src/bundle/card.ts";
import { readPythonJson } from "../src/bundle/card_json.ts";
import { findBundles, openBundle } from "../src/bundle/files.ts";
import { computeHash } from "../src/bundle/hash.ts";
import { readCases } from "./cases.ts";

const hash = (text: string) => computeHash(new TextEncoder().encode(text));

test("the text that is hashed is Python's", async () => {
  for (const { text, sha256 } of readCases("card")) {
    assert.equal(await hash(readPythonJson(text, "card_sha256").canonical), sha256);
  }
});

test("numbers keep the way they were written", () => {
  assert.equal(
    readPythonJson('{"b": 90.0, "a": [1e-05, -Infinity, NaN]}', "").canonical,
    '{"a": [1e-05, -Infinity, NaN], "b": 90.0}',
  );
  assert.deepEqual(readPythonJson('{"a": Infinity}', "").value, { a: Number.POSITIVE_INFINITY });
});

test("what is no JSON is refused where it ends to be", () => {
  for (const text of ["", "{", '{"a" 1}', "[1]", '{"a": 01x}', '{"a": "\\q"}', `${"[".repeat(5000)}`]) {
    assert.throws(() => readPythonJson(text, ""), /The card is damaged/, text.slice(0, 20));
  }
});

async function makeCard(changes: object): Promise<string> {
  const card = { card_version: 1, format: "onnx", output: { name: "probabilities" }, files: {}, ...changes };
  return JSON.stringify({ ...card, card_sha256: await hash(readPythonJson(JSON.stringify(card), "").canonical) });
}

test("cards of other formats, versions and kinds are refused with the way out", async () => {
  assert.equal((await readCard(await makeCard({}), "b")).format, "onnx");
  assert.equal((await readCard(await makeCard({ format: "litert" }), "b")).format, "litert");
  await assert.rejects(
    readCard(await makeCard({ format: "openvino" }), "b"),
    /export it with rapidnet export RUN --format litert/,
  );
  await assert.rejects(readCard(await makeCard({ card_version: 2 }), "b"), /version 2/);
  await assert.rejects(
    readCard(await makeCard({ output: undefined, outputs: [{ name: "p2" }] }), "b"),
    /answers with p2/,
  );
  await assert.rejects(
    readCard((await makeCard({})).replace("probabilities", "logits"), "b"),
    /was changed after it was written/,
  );
});

test("a file that is not the certified one is refused", async () => {
  const text = await makeCard({ files: { "model.onnx": await hash("right") } });
  const give = (content: string) => [
    { path: "folder/card.json", file: new File([text], "card.json") },
    { path: "folder/model.onnx", file: new File([content], "model.onnx") },
  ];
  const [right] = findBundles(give("right"));
  assert.equal((await openBundle(right, () => {})).name, "folder");
  const [wrong] = findBundles(give("wrong"));
  await assert.rejects(
    openBundle(wrong, () => {}),
    /folder\/model\.onnx is not the file that was certified/,
  );
  const [lacking] = findBundles(give("right").slice(0, 1));
  await assert.rejects(
    openBundle(lacking, () => {}),
    /lacks model\.onnx/,
  );
});

test("a page without crypto.subtle computes the same hash", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(5000));
  const own = await computeHash(bytes);
  const { crypto: kept } = globalThis;
  Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });
  const other = await computeHash(bytes);
  Object.defineProperty(globalThis, "crypto", { value: kept, configurable: true });
  assert.equal(other, own);
});
