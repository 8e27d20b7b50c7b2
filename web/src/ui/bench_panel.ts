// How is a measurement asked for, and shown so that it can be believed?

import { buildReport, type Report } from "../bench/report.ts";
import type { ModeName } from "../bench/schedule.ts";
import type { Estimate } from "../bench/statistics.ts";
import type { OpenBundle } from "../bundle/files.ts";
import { PageError } from "../errors.ts";
import type { Engine } from "../run/engine.ts";
import type { BenchResult, Steps } from "../run/protocol.ts";
import { announce } from "./announce.ts";
import { find, formatMs, formatShare, make, makeTable } from "./dom.ts";
import { verified } from "./verify_panel.ts";

const button = find("bench", HTMLButtonElement);
const stop = find("stop", HTMLButtonElement);
const bar = find("benching", HTMLProgressElement);
const place = find("timings", HTMLDivElement);

export function forgetTimings(): void {
  place.replaceChildren();
}

/** A picture for the steps from a file to an answer. */
export interface Sample {
  file: Blob;
  name: string;
  description: string;
}

/** Measure the active backend. Throws PageError: not verified, stopped, or the page was left meanwhile. */
export async function runBench(engine: Engine, bundle: OpenBundle, sample: Sample): Promise<void> {
  const offer = engine.active;
  if (!offer || !verified.has(offer.title)) {
    throw new PageError(
      "No latency for a network whose numbers were not checked here: press Verify on this device first.",
    );
  }
  const mode = (document.querySelector<HTMLInputElement>("input[name=mode]:checked")?.value ?? "quick") as ModeName;
  let left = false;
  const onHidden = () => {
    left ||= document.hidden;
    if (left) stop.click();
  };
  document.addEventListener("visibilitychange", onHidden);
  button.disabled = true;
  bar.hidden = stop.hidden = false;
  bar.value = 0;
  announce("Measuring; leave the device alone meanwhile");
  try {
    const report = (share: number) => {
      bar.value = share;
    };
    const { loadMs, result } = await engine.bench({ mode, file: sample.file, name: sample.name }, report, (halt) => {
      stop.onclick = halt;
    });
    if (left)
      throw new PageError(
        "The page was in the background meanwhile, where browsers slow it down; measure again and stay.",
      );
    if (result.stopped) throw new PageError("Stopped; there is no figure.");
    show(buildReport(bundle, offer, mode, loadMs, result, sample.description), result, offer.title);
  } finally {
    document.removeEventListener("visibilitychange", onHidden);
    button.disabled = false;
    bar.hidden = stop.hidden = true;
  }
}

function show(report: Report, { estimate, steps, stepRuns }: BenchResult, title: string): void {
  const steady = estimate.reasons.length === 0;
  const big = make(
    "p",
    { class: "headline" },
    make("strong", {}, steady ? formatMs(estimate.p90) : "Unsteady"),
    make("span", { class: "soft" }, describe(report, steady, title)),
  );
  const reasons = steady ? [] : [make("p", { class: "fail" }, `No headline: ${estimate.reasons.join("; ")}.`)];
  const way = [
    showSteps(steps),
    make("p", { class: "figures soft" }, `From a file to the answer: ${report.steps_picture}, medians of ${stepRuns}.`),
  ];
  place.replaceChildren(
    big,
    ...reasons,
    makeTable("One run of the network", ["", "here"], listFigures(report, estimate)),
    ...way,
    makeDownload(report),
  );
  announce(
    steady ? `Measured: ${formatMs(estimate.p90)} at the 90th percentile` : "The device was not steady; no headline",
  );
}

/** Decode, resize, network and answer, as shares of a bar and in figures. */
function showSteps({ decode, resize, network, post }: Steps): HTMLElement {
  const values = { decode, resize, network, answer: post };
  const bar = make("div", { class: "split", ariaHidden: "true" });
  const key = make("ul", { class: "key" });
  for (const [number, [name, value]] of Object.entries(values).entries()) {
    const part = make("i", { class: `step-${number}` });
    part.style.flexGrow = String(value);
    bar.append(part);
    key.append(make("li", {}, make("i", { class: `step-${number}` }), `${name} ${formatMs(value)}`));
  }
  return make("div", {}, bar, key);
}

function describe(report: Report, steady: boolean, title: string): string {
  const kind = report.headline ? "" : "indicative, ";
  return `${steady ? "90th percentile, " : ""}${kind}${title}, ${report.bundle.precision}`;
}

function listFigures(report: Report, { p50, p90, p99, spread, drift, runs }: Estimate): string[][] {
  return [
    ["90th percentile", formatMs(p90)],
    ["median", formatMs(p50)],
    ["99th percentile", formatMs(p99)],
    ["spread", formatShare(spread)],
    ["drift", `${drift > 0 ? "+" : ""}${(100 * drift).toFixed(1)}%`],
    ["load", formatMs(report.load_ms)],
    ["first run", formatMs(report.first_ms)],
    ["runs", `${runs} in ${report.blocks_ms.length} blocks`],
  ];
}

function makeDownload(report: Report): HTMLElement {
  const download = make("button", { type: "button" }, "Save as JSON");
  download.onclick = () => {
    const url = URL.createObjectURL(new Blob([`${JSON.stringify(report, null, 1)}\n`], { type: "application/json" }));
    const name = `rapidnet-${report.bundle.name}-${report.backend}-${report.threads}.json`.replace(/[^\w.-]+/g, "_");
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  return make("p", {}, download);
}
