// What is in an .npz file? A zip of .npy arrays, as numpy.savez_compressed writes it.

import { PageError } from "../errors.ts";

/** Values in C order; text for arrays of text. */
export interface NpyArray {
  shape: number[];
  data: Uint8Array | Float64Array | Float32Array | Int32Array;
  texts?: string[];
}

/** All arrays by name. Throws PageError for what is no such file. */
export async function readNpz(bytes: Uint8Array<ArrayBuffer>): Promise<Map<string, NpyArray>> {
  const arrays = new Map<string, NpyArray>();
  for (const { name, method, start, length } of listMembers(bytes)) {
    const packed = bytes.subarray(start, start + length);
    const raw = method === 0 ? packed : await inflate(packed);
    arrays.set(name.replace(/\.npy$/, ""), parseNpy(raw, name));
  }
  return arrays;
}

interface Member {
  name: string;
  method: number;
  start: number;
  length: number;
}

const END = 0x06054b50;
const ENTRY = 0x02014b50;

/** The members that the directory at the end of a zip lists. */
export function listMembers(bytes: Uint8Array<ArrayBuffer>): Member[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw new PageError("golden.npz is damaged: it is no zip file; take the bundle anew.");
  const members: Member[] = [];
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    const method = view.getUint16(at + 10, true);
    const local = view.getUint32(at + 42, true);
    const nameLength = view.getUint16(at + 28, true);
    if (view.getUint32(at, true) !== ENTRY || ![0, 8].includes(method) || local === 0xffffffff) {
      throw new PageError("golden.npz is packed in a way this page does not know; take the bundle anew.");
    }
    members.push({
      name: new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength)),
      method,
      start: local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true),
      length: view.getUint32(at + 20, true),
    });
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return members;
}

async function inflate(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const READERS: Record<string, (buffer: ArrayBuffer, count: number) => NpyArray["data"]> = {
  "|u1": (buffer) => new Uint8Array(buffer),
  "|b1": (buffer) => new Uint8Array(buffer),
  "<f8": (buffer) => new Float64Array(buffer),
  "<f4": (buffer) => new Float32Array(buffer),
  "<i4": (buffer) => new Int32Array(buffer),
  "<i8": (buffer) => Float64Array.from(new BigInt64Array(buffer), Number),
};

/** One array. Throws PageError for number formats other than those that golden files hold. */
export function parseNpy(bytes: Uint8Array<ArrayBuffer>, name: string): NpyArray {
  const wide = bytes[6] > 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = wide ? 12 : 10;
  const body = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder("latin1").decode(bytes.subarray(start, body));
  const kind = /'descr':\s*'([^']+)'/.exec(header)?.[1] ?? "";
  const sides = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (bytes[0] !== 0x93 || sides === undefined)
    throw new PageError(`${name} in golden.npz is no array; take the bundle anew.`);
  const shape = sides
    .split(",")
    .map((side) => side.trim())
    .filter(Boolean)
    .map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  const buffer = bytes.slice(body).buffer;
  if (kind.startsWith("<U"))
    return { shape, data: new Uint8Array(0), texts: readTexts(buffer, Number(kind.slice(2)), count) };
  if (!(kind in READERS))
    throw new PageError(`${name} in golden.npz holds numbers as ${kind}, which this page does not read.`);
  const data = READERS[kind](buffer, count);
  if (data.length !== count) throw new PageError(`${name} in golden.npz is cut short; take the bundle anew.`);
  return { shape, data: /'fortran_order':\s*True/.test(header) ? toRowOrder(data, shape) : data };
}

function readTexts(buffer: ArrayBuffer, letters: number, count: number): string[] {
  const units = new Uint32Array(buffer);
  return Array.from({ length: count }, (_, i) =>
    String.fromCodePoint(...units.subarray(i * letters, (i + 1) * letters).filter((unit) => unit !== 0)),
  );
}

/** From the first index running fastest to the last. */
function toRowOrder<T extends NpyArray["data"]>(data: T, shape: number[]): T {
  const ordered = data.slice() as T;
  const steps = shape.map((_, i) => shape.slice(0, i).reduce((a, b) => a * b, 1));
  for (let to = 0; to < data.length; to++) {
    let rest = to;
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += (rest % shape[axis]) * steps[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    ordered[to] = data[from];
  }
  return ordered;
}
