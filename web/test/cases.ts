// What did Python answer? Read from the folder that tests/web/test_page_units.py wrote.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type NpyArray, readNpz } from "../src/verify/npz.ts";

const folder = process.env.RAPIDNET_CASES;
if (!folder) throw new Error("these tests are run by tests/web/test_page_units.py, which sets RAPIDNET_CASES");

export const readBytes = (name: string) => new Uint8Array(readFileSync(join(folder, name)));
const arrays = await readNpz(readBytes("arrays.npz"));

/** biome-ignore lint/suspicious/noExplicitAny: cases of different kinds hold different things */
export type Case = Record<string, any>;

/** All cases of a kind, their arrays filled in; there is at least one. */
export function readCases(kind: string): Case[] {
  const all = JSON.parse(new TextDecoder().decode(readBytes("cases.json"))) as Case[];
  const found = all.filter((one) => one.kind === kind);
  if (found.length === 0) throw new Error(`there is no case of ${kind}`);
  return found.map((one) =>
    Object.fromEntries(Object.entries(one).map(([key, value]) => [key, arrays.get(value as string) ?? value])),
  );
}

/** The data of an array, as bytes or numbers. */
export function dataOf<T extends NpyArray["data"]>(array: unknown): T {
  return (array as NpyArray).data as T;
}
