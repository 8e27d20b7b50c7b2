// How does the page become a folder of files that any server can offer?

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** Format of a bundle -> the package that runs it. */
const PACKAGES = { onnx: "onnxruntime-web", litert: "@litertjs/core" };
const RUNTIMES = Object.fromEntries(
  Object.entries(PACKAGES).map(([format, name]) => {
    const installed = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")) as { version: string };
    return [format, `${name} ${installed.version}`];
  }),
);
const OUT = process.env.RAPIDNET_PAGE ?? "../src/rapidnet/serving/page";

/** Also sent by rapidnet serve, and by the service worker where a server sends none. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "connect-src 'self'",
  "img-src 'self' blob: data:",
  "media-src 'self' blob:",
  "style-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** Not kept before they are asked for: tens of megabytes that many browsers never need. */
const ON_DEMAND = /(\.(asyncify|jspi)\b.*\.(wasm|mjs)|litert_wasm_.*\.(wasm|js))$/;

function listFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? listFiles(path) : [path];
  });
}

/** Tells the service worker which files make up the page, and names the page by what is in them. */
function fillIn(): Plugin {
  return {
    name: "fill-in",
    transformIndexHtml: (html) => html.replace("%CSP%", POLICY),
    writeBundle({ dir }) {
      const root = dir as string;
      const paths = listFiles(root).sort();
      const hash = createHash("sha256");
      for (const path of paths) hash.update(relative(root, path)).update(readFileSync(path));
      const version = hash.digest("hex").slice(0, 12);
      const files = paths.map((path) => relative(root, path).split(sep).join("/"));
      const kept = files.filter((file) => file !== "sw.js" && !ON_DEMAND.test(file));
      for (const path of paths.filter((path) => path.endsWith(".js"))) {
        const text = readFileSync(path, "utf8");
        const filled = text
          .replaceAll("__FILES__", JSON.stringify(kept))
          .replaceAll("__PAGE_VERSION__", JSON.stringify(version));
        if (filled !== text) writeFileSync(path, filled);
      }
    },
  };
}

export default defineConfig({
  base: "./",
  define: { __CSP__: JSON.stringify(POLICY), __RUNTIMES__: JSON.stringify(RUNTIMES) },
  // The runtime's own WebAssembly and glue are files of the page, not parts of a script.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser"] },
  plugins: [fillIn()],
  worker: { format: "es" },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    license: { fileName: "licenses.md" },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2000,
    rollupOptions: {
      input: { index: "index.html", sw: "src/offline/service_worker.ts" },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
});
