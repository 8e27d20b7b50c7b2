// Is a card the one that was written? Its hash is of the text that Python's json.dumps(card, sort_keys=True) makes.
//
// JSON.parse would lose how numbers were written (90.0, 1e-05), and refuse Infinity, which Python writes.

import { PageError } from "../errors.ts";

class Numeral {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Node = null | boolean | string | Numeral | Node[] | Map<string, Node>;

const WORDS: Record<string, Node> = { null: null, true: true, false: false };
const NUMERAL = /-?(?:Infinity|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|NaN/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const WORD = /null|true|false/y;
const DEEPEST = 100;

/** Returns the values, and the text to be hashed: all but the key `without`. Throws PageError for what is no JSON. */
export function readPythonJson(text: string, without: string): { value: unknown; canonical: string } {
  const node = new Reader(text).readAll();
  if (!(node instanceof Map)) throw new PageError("The card is damaged: it holds no object; export the network again.");
  const rest = new Map([...node].filter(([key]) => key !== without));
  return { value: toPlain(node), canonical: write(rest) };
}

class Reader {
  private at = 0;
  private readonly text: string;
  constructor(text: string) {
    this.text = text;
  }

  readAll(): Node {
    const node = this.read(0);
    this.skip();
    if (this.at !== this.text.length) this.fail();
    return node;
  }

  private read(depth: number): Node {
    if (depth > DEEPEST) this.fail();
    this.skip();
    const first = this.text[this.at];
    if (first === "{") return this.readObject(depth);
    if (first === "[") return this.readList(depth);
    if (first === '"') return this.readString();
    const word = this.take(WORD);
    if (word !== undefined) return WORDS[word];
    return new Numeral(this.take(NUMERAL) ?? this.fail());
  }

  private readObject(depth: number): Map<string, Node> {
    const found = new Map<string, Node>();
    this.readItems("}", () => {
      const key = this.readString();
      this.skip();
      if (this.text[this.at++] !== ":") this.fail();
      found.set(key, this.read(depth + 1));
    });
    return found;
  }

  private readList(depth: number): Node[] {
    const found: Node[] = [];
    this.readItems("]", () => found.push(this.read(depth + 1)));
    return found;
  }

  private readItems(end: string, readOne: () => void): void {
    this.at++;
    this.skip();
    if (this.text[this.at] === end) {
      this.at++;
      return;
    }
    for (;;) {
      this.skip();
      readOne();
      this.skip();
      const next = this.text[this.at++];
      if (next === end) return;
      if (next !== ",") this.fail();
    }
  }

  private readString(): string {
    const raw = this.take(STRING) ?? this.fail();
    try {
      return JSON.parse(raw) as string;
    } catch {
      return this.fail();
    }
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  private skip(): void {
    while (" \n\r\t".includes(this.text[this.at] ?? "x")) this.at++;
  }

  private fail(): never {
    throw new PageError(`The card is damaged: it is no JSON at character ${this.at}; export the network again.`);
  }
}

function toPlain(node: Node): unknown {
  if (node instanceof Numeral) return Number(node.text);
  if (Array.isArray(node)) return node.map(toPlain);
  if (node instanceof Map) return Object.fromEntries([...node].map(([key, value]) => [key, toPlain(value)]));
  return node;
}

function write(node: Node): string {
  if (node instanceof Numeral) return node.text;
  if (typeof node === "string") return writeString(node);
  if (Array.isArray(node)) return `[${node.map(write).join(", ")}]`;
  if (node instanceof Map) {
    const items = [...node].sort(([a], [b]) => compareText(a, b));
    return `{${items.map(([key, value]) => `${writeString(key)}: ${write(value)}`).join(", ")}}`;
  }
  return String(node);
}

/** Python's ensure_ascii: every character outside of space to tilde as UTF-16 units. */
function writeString(text: string): string {
  const plain = JSON.stringify(text).replace(/\\u[0-9a-f]{4}/g, (found) => found.toLowerCase());
  const units = (found: string) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return plain.replace(/[^ -~]/g, units);
}

/** Python sorts by code points, JavaScript by UTF-16 units. */
function compareText(a: string, b: string): number {
  const left = Array.from(a, (letter) => letter.codePointAt(0) as number);
  const right = Array.from(b, (letter) => letter.codePointAt(0) as number);
  for (let i = 0; i < Math.min(left.length, right.length); i++) if (left[i] !== right[i]) return left[i] - right[i];
  return left.length - right.length;
}
