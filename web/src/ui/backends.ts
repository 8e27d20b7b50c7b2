// Which backends are there, how fast is each here, and which one is used?

import type { Candidate, Engine } from "../run/engine.ts";
import { explainThreads, type Offer } from "../run/offers.ts";
import { find, formatMs, make } from "./dom.ts";

const list = find("backends", HTMLFieldSetElement);

const STATES: Record<Candidate["state"], string> = {
  waiting: "queued",
  trying: "measuring…",
  ready: "",
  failed: "not usable",
};

/** Show what the engine knows; `choose` is called with a backend picked by hand. */
export function showBackends(engine: Engine, choose: (offer: Offer) => void): void {
  const focused = (document.activeElement as HTMLInputElement | null)?.value;
  const rows = engine.candidates.map((candidate) => {
    const { offer, state, median, why } = candidate;
    const unusable = state === "failed" || state === "trying";
    const radio = make("input", {
      type: "radio",
      name: "backend",
      value: offer.title,
      checked: engine.active === offer,
      disabled: unusable && engine.active !== offer,
    });
    radio.onchange = () => choose(offer);
    const value =
      state === "ready" && median !== undefined ? formatMs(median) : why && state === "waiting" ? "" : STATES[state];
    const remark =
      why ||
      (engine.active === offer ? "in use: its golden answers agree" : candidate.agrees ? "golden answers agree" : "");
    return make(
      "label",
      { class: unusable ? "off" : "" },
      radio,
      make("span", {}, offer.title),
      make("span", { class: "value" }, value),
      remark ? make("small", {}, remark) : undefined,
    );
  });
  list.replaceChildren(list.querySelector("legend") as HTMLElement, ...rows);
  if (focused) list.querySelector<HTMLInputElement>(`input[value="${CSS.escape(focused)}"]`)?.focus();
  const threads = find("threads", HTMLParagraphElement);
  threads.textContent =
    explainThreads() ||
    `Medians of a short run on this device. ${navigator.hardwareConcurrency} processors, isolated from other pages.`;
}
