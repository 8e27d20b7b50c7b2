// Which bundle files does this browser keep, so that they need no network? By their hash, never by their name.

import { CARD } from "./card.ts";
import { computeHash } from "./hash.ts";

export const BUNDLES = "rapidnet-bundles";
export const CARDS = "rapidnet-cards";

const place = (sha256: string) => new URL(`by-hash/${sha256}`, location.href).href;
// Only secure pages have a cache; elsewhere nothing is kept.
const open = async () => ("caches" in globalThis ? await caches.open(BUNDLES) : undefined);

/** The kept bytes with this SHA-256, if they still have it. */
export async function recall(sha256: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const found = await (await open())?.match(place(sha256));
  if (!found) return undefined;
  const bytes = new Uint8Array(await found.arrayBuffer());
  return (await computeHash(bytes)) === sha256 ? bytes : undefined;
}

/** Keep bytes; a full disk or a browser that forbids it keeps nothing. */
export async function store(sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    await (await open())?.put(place(sha256), new Response(bytes));
  } catch {
    // Then the next visit fetches it again.
  }
}

/** Whether all of a bundle's files are here. */
export async function holdsAll(hashes: string[]): Promise<boolean> {
  const cache = await open();
  if (!cache) return false;
  const found = await Promise.all(hashes.map((sha256) => cache.match(place(sha256))));
  return found.every(Boolean);
}

/** Forget cards of bundles that are no longer served, and files that no kept card speaks of. */
export async function prune(served: string[]): Promise<void> {
  const cache = await open();
  if (!cache) return;
  const cards = await caches.open(CARDS);
  const wanted = new Set<string>();
  for (const request of await cards.keys()) {
    const parts = new URL(request.url).pathname.split("/");
    if (parts.at(-1) !== CARD) continue;
    if (!served.includes(decodeURIComponent(parts.at(-2) ?? ""))) await cards.delete(request);
    else {
      const text = await (await cards.match(request))?.text();
      for (const sha256 of text?.match(/\b[0-9a-f]{64}\b/g) ?? []) wanted.add(place(sha256));
    }
  }
  for (const request of await cache.keys()) if (!wanted.has(request.url)) await cache.delete(request);
}
