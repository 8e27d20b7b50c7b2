// How do the parts of the page work together?

import { keepSure } from "./answers/answer.ts";
import { type BundleSource, listServed, type OpenBundle, openBundle } from "./bundle/files.ts";
import { prune } from "./bundle/stored.ts";
import { PageError } from "./errors.ts";
import { showOffline, startOffline } from "./offline/registration.ts";
import { Engine } from "./run/engine.ts";
import type { Answered } from "./run/protocol.ts";
import { announce, showProblem } from "./ui/announce.ts";
import { readThreshold, showAnswer } from "./ui/answers.ts";
import { showBackends } from "./ui/backends.ts";
import { forgetTimings, runBench, type Sample } from "./ui/bench_panel.ts";
import { Camera } from "./ui/camera.ts";
import { find } from "./ui/dom.ts";
import { Networks, showFacts, showLoading } from "./ui/networks.ts";
import { fetchFirstSample, listenForFiles, markSample, showSamples } from "./ui/sources.ts";
import { describePicture, drawAnswer, showBusy, showCamera, showNothing, showPicture } from "./ui/stage.ts";
import { forgetCertificates, runVerify } from "./ui/verify_panel.ts";

/** How often the camera's answers are read out, in milliseconds, and only when they change. */
const SAID_EVERY = 2500;

let bundle: OpenBundle | undefined;
let opening: Promise<void> = Promise.reject(
  new PageError("No network is open yet; drop a bundle's folder on this page, or serve one with rapidnet serve."),
);
opening.catch(() => {});
let wanted: { file: Blob; name: string } | undefined;
let latest: { file: Blob; name: string; width: number; height: number } | undefined;
let shown: Answered | undefined;
let asked = 0;
let said = { text: "", at: 0 };

const engine = new Engine(() =>
  showBackends(engine, (offer) => run(() => engine.choose(offer).finally(() => showBackends(engine, () => {})))),
);
const networks = new Networks((source) => run(() => open(source)));
const camera = new Camera(lookAtFrame);

/** Do something the user asked for; what goes wrong is shown. */
async function run(job: () => Promise<void>): Promise<void> {
  showProblem(undefined);
  try {
    await job();
  } catch (error) {
    showProblem(error);
  }
}

async function open(source: BundleSource): Promise<void> {
  forgetCertificates();
  forgetTimings();
  opening = openNetwork(source);
  showBusy(true);
  try {
    await opening;
  } finally {
    showBusy(false);
  }
  // The picture that was asked for last gets the new network's answer.
  if (wanted && !camera.on) await look(wanted.file, wanted.name);
}

async function openNetwork(source: BundleSource): Promise<void> {
  showLoading(0);
  try {
    const opened = await openBundle(source, showLoading);
    showFacts(opened.name, opened.card, opened.files.get(opened.card.artifact)?.length ?? 0);
    void showOffline(Object.values(opened.card.files));
    bundle = opened;
    await engine.open(opened);
  } finally {
    showLoading(undefined);
  }
}

/** Decode, answer and show a picture; of two asked for, or two networks, the later wins. */
async function look(file: Blob, name: string): Promise<void> {
  const number = ++asked;
  const current = opening;
  const outdated = () => number !== asked || current !== opening;
  wanted = { file, name };
  camera.stop();
  showBusy(true);
  try {
    await current;
    const found = await engine.ask("answer", { file, name });
    if (outdated()) return;
    latest = { file, name, width: found.width, height: found.height };
    if (found.preview) showPicture(found.preview, name);
    const sentence = showFound(found);
    describePicture(`${name}: ${sentence}`);
    announce(sentence);
  } catch (error) {
    if (outdated()) return;
    wanted = latest;
    throw error;
  } finally {
    if (number === asked) showBusy(false);
  }
}

/** Draw and write an answer; returns it as a sentence. */
function showFound(found: Answered): string {
  const { card } = bundle as OpenBundle;
  shown = found;
  const threshold = readThreshold(found.answer.kind === "objects");
  const answer = keepSure(found.answer, threshold);
  drawAnswer(answer, card.classes, found.width, found.height);
  // For programs: the whole answer, not only what is shown.
  document.dispatchEvent(new CustomEvent("rapidnet-answer", { detail: { ...found, bundle: bundle?.name } }));
  return showAnswer(card, { ...found, answer }, engine.active?.title ?? "");
}

async function lookAtFrame(frame: ImageBitmap): Promise<void> {
  const current = opening;
  try {
    await current;
    const found = await engine.ask("answer", { frame, name: "the camera" }, undefined, [frame]);
    if (!camera.on || current !== opening) return;
    const text = showFound(found);
    const now = performance.now();
    if (text.split(" ")[0] !== said.text.split(" ")[0] && now - said.at > SAID_EVERY) {
      said = { text, at: now };
      announce(text);
    }
  } catch (error) {
    // Another network is being opened: this frame is lost, the next one is answered by it.
    if (current !== opening) return;
    camera.stop();
    showProblem(error);
  }
}

async function toggleCamera(): Promise<void> {
  if (camera.on) {
    camera.stop();
    showNothing();
    return;
  }
  await opening;
  markSample();
  asked++;
  wanted = undefined;
  await camera.start();
  showCamera();
}

/** What the steps from a file to an answer are measured on. */
async function chooseSample(): Promise<Sample> {
  if (latest)
    return { ...latest, description: `${latest.file.type || "a file"}, ${latest.width} x ${latest.height} px` };
  const file = await fetchFirstSample();
  const { width, height } = await createImageBitmap(file);
  return { file, name: "the sample", description: `${file.type}, ${width} x ${height} px` };
}

async function start(): Promise<void> {
  await startOffline();
  const receivers = {
    picture: (file: Blob, name: string, sample?: HTMLElement) => {
      markSample(sample);
      void run(() => look(file, name));
    },
    bundles: (sources: BundleSource[]) => void run(async () => open(networks.add(sources) as BundleSource)),
    problem: showProblem,
  };
  listenForFiles(receivers);
  showSamples(receivers);
  find("camera", HTMLButtonElement).onclick = () => run(toggleCamera);
  find("turn", HTMLButtonElement).onclick = () => run(() => camera.change());
  find("verify", HTMLButtonElement).onclick = () =>
    run(async () => {
      // Also of a network that no backend runs well enough to be used: the figures say why.
      await opening.catch((error) => {
        if (!bundle) throw error;
      });
      await runVerify(engine);
    });
  find("bench", HTMLButtonElement).onclick = () =>
    run(async () => {
      await opening;
      await runBench(engine, bundle as OpenBundle, await chooseSample());
    });
  find("threshold", HTMLInputElement).oninput = () => {
    if (shown) announce(showFound(shown));
  };
  find("where", HTMLSpanElement).textContent =
    `It came from ${location.host}, and runs ${Object.values(__RUNTIMES__).join(" and ")}.`;
  if (new URLSearchParams(location.search).has("turns")) {
    const { turns } = await import("./bench/turns.ts");
    Object.assign(window, { turns });
    return;
  }
  const served = await listServed();
  if (served.length === 0) {
    find("facts", HTMLParagraphElement).textContent =
      "This server offers no bundle. Drop a bundle's folder on this page.";
    return;
  }
  void prune(served.map(({ name }) => name));
  await open(networks.add(served) as BundleSource);
}

void run(start);
