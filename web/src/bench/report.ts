// What does a measurement leave behind, to be read by rapidnet bench import?

import type { OpenBundle } from "../bundle/files.ts";
import type { Offer } from "../run/offers.ts";
import type { BenchResult, Steps } from "../run/protocol.ts";
import { MODES, type ModeName } from "./schedule.ts";

const LAYOUT = 1;

/** Times in milliseconds; what a browser does not tell is "unknown". */
export interface Report {
  rapidnet_page_bench: number;
  time: string;
  page: string;
  runtime: string;
  bundle: {
    name: string;
    model: string;
    task: string;
    precision: string;
    artifact: string;
    artifact_sha256: string;
    card_sha256: string;
  };
  backend: string;
  threads: number;
  device: {
    user_agent: string;
    platform: string;
    processors: number;
    memory_gb: number | "unknown";
    isolated: boolean;
    load: "unknown";
  };
  verified: true;
  mode: ModeName;
  headline: boolean;
  unsteady: string[];
  load_ms: number;
  first_ms: number;
  steps_ms: Steps;
  steps_runs: number;
  steps_picture: string;
  blocks_ms: number[][];
}

/** Everything a reader needs to believe or doubt the figures; the picture's name and pixels are not in it. */
export function buildReport(
  bundle: OpenBundle,
  offer: Offer,
  mode: ModeName,
  loadMs: number,
  result: BenchResult,
  picture: string,
): Report {
  const { card, name } = bundle;
  const about = navigator as Navigator & { deviceMemory?: number; userAgentData?: { platform: string } };
  return {
    rapidnet_page_bench: LAYOUT,
    time: new Date().toISOString(),
    page: __PAGE_VERSION__,
    runtime: __RUNTIMES__[card.format],
    bundle: {
      name,
      model: card.model,
      task: card.task,
      precision: card.precision,
      artifact: card.artifact,
      artifact_sha256: card.files[card.artifact],
      card_sha256: card.card_sha256,
    },
    backend: offer.backend,
    threads: offer.threads,
    device: {
      user_agent: navigator.userAgent,
      platform: about.userAgentData?.platform || navigator.platform || "unknown",
      processors: navigator.hardwareConcurrency,
      memory_gb: about.deviceMemory ?? "unknown",
      isolated: crossOriginIsolated,
      load: "unknown",
    },
    verified: true,
    mode,
    headline: MODES[mode].headline && result.estimate.reasons.length === 0,
    unsteady: result.estimate.reasons,
    load_ms: loadMs,
    first_ms: result.firstMs,
    steps_ms: result.steps,
    steps_runs: result.stepRuns,
    steps_picture: picture,
    blocks_ms: result.times,
  };
}
