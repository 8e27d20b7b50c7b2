// How does each backend open an artifact? One row a backend; its code and WebAssembly are loaded when it is asked for.

import type * as Ort from "onnxruntime-web";
import asyncifyGlue from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import asyncifyWasm from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import jspiGlue from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import jspiWasm from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import wasmGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import type { BackendId } from "./offers.ts";

interface Engine {
  provider: string;
  load: () => Promise<{ ort: typeof Ort; glue: string; wasm: string }>;
}

const ENGINES: Record<BackendId, Engine> = {
  wasm: {
    provider: "wasm",
    load: async () => ({ ort: await import("onnxruntime-web/wasm"), glue: wasmGlue, wasm: wasmWasm }),
  },
  webgpu: {
    provider: "webgpu",
    // Where WebAssembly can wait for promises itself, a build that is ten megabytes smaller does.
    load: async () =>
      "Suspending" in WebAssembly
        ? { ort: await import("onnxruntime-web/jspi"), glue: jspiGlue, wasm: jspiWasm }
        : { ort: await import("onnxruntime-web/webgpu"), glue: asyncifyGlue, wasm: asyncifyWasm },
  },
};

/** A session and the library it belongs to. */
export interface Session {
  ort: typeof Ort;
  session: Ort.InferenceSession;
}

/** Open an artifact; `threads` can be set once in a worker's life. */
export async function openSession(backend: BackendId, threads: number, model: Uint8Array): Promise<Session> {
  const engine = ENGINES[backend];
  const { ort, glue, wasm } = await engine.load();
  const place = (url: string) => new URL(url, import.meta.url).href;
  ort.env.wasm.wasmPaths = { mjs: place(glue), wasm: place(wasm) };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [engine.provider],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
  });
  return { ort, session };
}
