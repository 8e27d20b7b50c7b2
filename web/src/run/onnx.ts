// How does onnxruntime-web open an artifact? Its code and WebAssembly are loaded when a backend is asked for.

import type * as Ort from "onnxruntime-web";
import asyncifyGlue from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import asyncifyWasm from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import jspiGlue from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import jspiWasm from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import wasmGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import type { OpenArtifact } from "./engines.ts";

interface Library {
  ort: typeof Ort;
  glue: string;
  wasm: string;
}

const loadPlain = async (): Promise<Library> => ({
  ort: await import("onnxruntime-web/wasm"),
  glue: wasmGlue,
  wasm: wasmWasm,
});

/** With what speaks to accelerators. Where WebAssembly can wait for promises itself, ten megabytes less do. */
const loadWaiting = async (): Promise<Library> =>
  "Suspending" in WebAssembly
    ? { ort: await import("onnxruntime-web/jspi"), glue: jspiGlue, wasm: jspiWasm }
    : { ort: await import("onnxruntime-web/webgpu"), glue: asyncifyGlue, wasm: asyncifyWasm };

function open(load: () => Promise<Library>, provider: string): OpenArtifact {
  return async (model, threads, card) => {
    const { ort, glue, wasm } = await load();
    const place = (url: string) => new URL(url, import.meta.url).href;
    ort.env.wasm.wasmPaths = { mjs: place(glue), wasm: place(wasm) };
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [provider],
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
    });
    return async (data, dims) => {
      const tensor = new ort.Tensor(card.input.dtype, data as Uint8Array, dims);
      return session.run({ [session.inputNames[0]]: tensor }) as unknown as ReturnType<
        Awaited<ReturnType<OpenArtifact>>
      >;
    };
  };
}

export const openWasm = open(loadPlain, "wasm");
export const openWebGpu = open(loadWaiting, "webgpu");
