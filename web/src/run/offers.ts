// Which backends can this browser offer a bundle, and with how many threads? engines.ts opens them, by the same names.

import type { Card } from "../bundle/card.ts";

export type BackendId = "wasm" | "webgpu";

/** What can be tried. unavailable: why not, in words; software: too slow to be measured unasked. */
export interface Offer {
  backend: BackendId;
  threads: number;
  title: string;
  unavailable: string;
  software: boolean;
}

/** Format -> what opens it. */
const BACKENDS: Record<string, BackendId[]> = { onnx: ["wasm", "webgpu"], litert: ["wasm"] };
/** More threads than this have not paid for networks of this size. */
const MOST_THREADS = 8;

const OFFERS: Record<BackendId, () => Promise<Offer[]>> = {
  wasm: async () =>
    listThreads().map((threads) => ({
      backend: "wasm",
      threads,
      title: `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`,
      unavailable: "",
      software: false,
    })),
  webgpu: async () => {
    const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
    const software =
      adapter?.info.isFallbackAdapter === true || /swiftshader|llvmpipe/i.test(adapter?.info.architecture ?? "");
    const unavailable = adapter ? "" : "this browser gives the page no graphics processor";
    return [
      { backend: "webgpu", threads: 1, title: software ? "WebGPU, in software" : "WebGPU", unavailable, software },
    ];
  },
};

/** 1, 2, 4 and so on up to the processors there are; one where the page is not isolated. */
function listThreads(): number[] {
  const most = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  const powers = [1, 2, 4, 8].filter((threads) => threads <= most);
  return [...new Set([...powers, most])];
}

export async function listOffers(card: Card): Promise<Offer[]> {
  return (await Promise.all(BACKENDS[card.format].map((backend) => OFFERS[backend]()))).flat();
}

/** Why there is one thread only; empty where there may be more. */
export function explainThreads(): string {
  if (globalThis.crossOriginIsolated) return "";
  if (!globalThis.isSecureContext)
    return "This address is plain http, so the browser gives the page one thread, no camera and no offline use. https or localhost has all three.";
  return "The page is not isolated from others yet, so the browser gives it one thread; reload it once.";
}
