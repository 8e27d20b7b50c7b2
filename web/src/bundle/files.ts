// Where do a bundle's files come from: the server this page came from, or a folder the user gave?

import { PageError } from "../errors.ts";
import { CARD, type Card, readCard } from "./card.ts";
import { computeHash } from "./hash.ts";
import { recall, store } from "./stored.ts";

/** A bundle that can be opened. read: the bytes of one of its files, by the name the card has for it. */
export interface BundleSource {
  name: string;
  readCard(): Promise<string>;
  read(name: string, sha256: string): Promise<Uint8Array<ArrayBuffer>>;
  /** What its listing says, before its card is read; empty where there is no listing. */
  listed: { model?: string; task?: string; precision?: string; format?: string };
}

/** A bundle whose files are the ones its card speaks of. */
export interface OpenBundle {
  name: string;
  card: Card;
  files: Map<string, Uint8Array<ArrayBuffer>>;
}

/** Read all of a bundle and hold it against its hashes; report is told the share done. Throws PageError. */
export async function openBundle(source: BundleSource, report: (share: number) => void): Promise<OpenBundle> {
  const card = await readCard(await source.readCard(), source.name);
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [name, expected] of Object.entries(card.files)) {
    const bytes = await source.read(name, expected);
    const found = await computeHash(bytes);
    if (found !== expected) {
      throw new PageError(
        `${source.name}/${name} is not the file that was certified: its SHA-256 is ${found.slice(0, 12)}…, the card says ` +
          `${expected.slice(0, 12)}…; take the bundle anew from where it was exported.`,
      );
    }
    files.set(name, bytes);
    report(files.size / Object.keys(card.files).length);
  }
  return { name: source.name, card, files };
}

/** The bundles that the page's own server lists in bundles/index.json; empty where it lists none. */
export async function listServed(): Promise<BundleSource[]> {
  const response = await fetch("bundles/index.json").catch(() => undefined);
  if (!response?.ok) return [];
  let listing: {
    bundles: { name: string; path: string; model?: string; task?: string; precision?: string; format?: string }[];
  };
  try {
    listing = await response.json();
    return listing.bundles.map(({ name, path, ...listed }) =>
      serveFrom(name, new URL(path.replace(/\/*$/, "/"), location.href), listed),
    );
  } catch {
    throw new PageError("bundles/index.json is damaged; write it anew as docs/browser.md says.");
  }
}

function serveFrom(name: string, folder: URL, listed: BundleSource["listed"]): BundleSource {
  if (folder.origin !== location.origin)
    throw new PageError(`bundles/index.json names ${name} on another server; bundles lie beside the page.`);
  const load = async (file: string) => {
    const response = await fetch(new URL(file, folder)).catch(() => undefined);
    if (!response?.ok)
      throw new PageError(
        `${name}/${file} cannot be fetched${response ? ` (${response.status})` : ""}; is the server still there?`,
      );
    return response;
  };
  return {
    name,
    listed,
    readCard: async () => (await load(CARD)).text(),
    read: async (file, sha256) => {
      const kept = await recall(sha256);
      if (kept) return kept;
      const bytes = new Uint8Array(await (await load(file)).arrayBuffer());
      // A wrong file is kept out: what is stored under a hash has it.
      if ((await computeHash(bytes)) === sha256) await store(sha256, bytes);
      return bytes;
    },
  };
}

/** Bundles among files with their paths, as a dropped or chosen folder gives them; one for each card.json. */
export function findBundles(files: { path: string; file: File }[]): BundleSource[] {
  return files
    .filter(({ path }) => path.split("/").at(-1) === CARD)
    .map((card) => {
      const folder = card.path.slice(0, -CARD.length);
      const name = folder.split("/").filter(Boolean).at(-1) ?? "chosen files";
      return {
        name,
        listed: {},
        readCard: () => card.file.text(),
        read: async (wanted) => {
          const found = files.find(({ path }) => path === folder + wanted);
          if (!found) throw new PageError(`${name} lacks ${wanted}, which its card speaks of; give the whole folder.`);
          return new Uint8Array(await found.file.arrayBuffer());
        },
      };
    });
}
