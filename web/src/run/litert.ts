// How does LiteRT.js open an artifact? XNNPACK in WebAssembly, with eight-bit products where the browser has relaxed SIMD.

import type * as LiteRt from "@litertjs/core";
import compatGlue from "@litertjs/core/wasm/litert_wasm_compat_internal.js?url";
import compatWasm from "@litertjs/core/wasm/litert_wasm_compat_internal.wasm?url";
import plainGlue from "@litertjs/core/wasm/litert_wasm_internal.js?url";
import plainWasm from "@litertjs/core/wasm/litert_wasm_internal.wasm?url";
import threadedGlue from "@litertjs/core/wasm/litert_wasm_threaded_internal.js?url";
import threadedWasm from "@litertjs/core/wasm/litert_wasm_threaded_internal.wasm?url";
import type { OpenArtifact, Run } from "./engines.ts";

/** What the library's glue, written for script tags, looks for and leaves behind. */
interface GlueScope {
  importScripts: (url: string) => void;
  define: { (needed: string[], make: () => unknown): void; amd: boolean };
  ModuleFactory: unknown;
  Module: {
    locateFile: () => string;
    mainScriptUrlOrBlob: string;
    print: (line: string) => void;
    printErr: (line: string) => void;
  };
}

export const openLiteRt: OpenArtifact = async (model, threads) => {
  const library = await import("@litertjs/core");
  const [glue, wasm] = await chooseBuild(library, threads);
  await loadGlue(glue, wasm);
  await library.loadLiteRt("loaded already/", { threads: threads > 1 });
  const compiled = await library.loadAndCompile(model, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
  const names = compiled.getOutputDetails().map(({ name }) => name);
  return ((data, dims) => runOnce(library, compiled, names, data, dims)) satisfies Run;
};

async function chooseBuild(library: typeof LiteRt, threads: number): Promise<[string, string]> {
  if (!(await library.supportsFeature("relaxedSimd"))) return [compatGlue, compatWasm];
  return threads > 1 ? [threadedGlue, threadedWasm] : [plainGlue, plainWasm];
}

/** Fetch the glue into this worker, whose kind knows no importScripts: as a module that hands itself to `define`. */
async function loadGlue(glue: string, wasm: string): Promise<void> {
  const scope = self as unknown as GlueScope;
  const place = (url: string) => new URL(url, import.meta.url).href;
  scope.define = Object.assign(
    (_: string[], make: () => unknown) => {
      scope.ModuleFactory = make();
    },
    { amd: true },
  );
  await import(/* @vite-ignore */ place(glue));
  // The library would now load the same script again.
  scope.importScripts = () => {};
  // It narrates each step of its start.
  const print = (line: string) => {
    if (/ERROR|FATAL/.test(line)) console.error(line);
  };
  scope.Module = { locateFile: () => place(wasm), mainScriptUrlOrBlob: place(glue), print, printErr: print };
}

async function runOnce(
  library: typeof LiteRt,
  compiled: LiteRt.CompiledModel,
  names: string[],
  data: Uint8Array | Float32Array,
  dims: number[],
): ReturnType<Run> {
  const input = library.Tensor.fromTypedArray(data as Parameters<typeof library.Tensor.fromTypedArray>[0], dims);
  const outputs = await compiled.run([input]);
  input.delete();
  const found = outputs.map((output, i) => {
    const shape = output.type.layout.dimensions;
    // A view of memory that the next run writes to.
    const values = output.toTypedArray().slice();
    output.delete();
    return [names[i], { dims: Array.from(shape), data: values }] as const;
  });
  return Object.fromEntries(found);
}
