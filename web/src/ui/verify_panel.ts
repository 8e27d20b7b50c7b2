// How is a certificate shown: each check beside its bound, each mistake and whether it was noticed?

import type { Engine } from "../run/engine.ts";
import type { Offer } from "../run/offers.ts";
import type { Certificate, Control } from "../verify/certificate.ts";
import type { Check } from "../verify/checks.ts";
import { announce } from "./announce.ts";
import { find, make, makeTable } from "./dom.ts";

const button = find("verify", HTMLButtonElement);
const bar = find("verifying", HTMLProgressElement);
const place = find("certificates", HTMLDivElement);

/** Titles of the backends that passed for the open bundle. */
export const verified = new Set<string>();

export function forgetCertificates(): void {
  verified.clear();
  place.replaceChildren();
}

/** Verify the open bundle in every backend and show each certificate. */
export async function runVerify(engine: Engine): Promise<void> {
  forgetCertificates();
  button.disabled = true;
  bar.hidden = false;
  bar.value = 0;
  let failures = 0;
  try {
    await engine.verifyAll(
      (offer, result) => {
        const passed = typeof result !== "string" && result.passed;
        if (passed) verified.add(offer.title);
        else failures++;
        place.append(showCertificate(offer, result, place.childElementCount === 0 || !passed));
      },
      (_, share) => {
        bar.value = share;
      },
    );
    announce(
      failures
        ? `Verification failed in ${failures} backends`
        : `Verified: all ${place.childElementCount} backends give the certified numbers`,
    );
  } finally {
    button.disabled = false;
    bar.hidden = true;
  }
}

function showCertificate(offer: Offer, result: Certificate | string, open: boolean): HTMLElement {
  const passed = typeof result !== "string" && result.passed;
  const verdict = make("span", { class: passed ? "verdict good" : "verdict bad" }, passed ? "Passed" : "Failed");
  const summary = make("summary", {}, make("span", {}, offer.title), verdict);
  const body =
    typeof result === "string"
      ? [make("p", { class: "fail" }, `It does not run: ${result}`)]
      : [showChecks(result), showControls(result.controls)];
  return make("details", { class: "certificate", open }, summary, ...body);
}

const UNITS: Record<Check["unit"], (figure: number) => string> = {
  dB: (figure) => `${Number.isFinite(figure) ? figure.toFixed(1).replace(/\.0$/, "") : figure > 0 ? "∞" : "none"} dB`,
  "%": (figure) => `${figure.toFixed(1).replace(/\.0$/, "")}%`,
  "of the largest value": (figure) => figure.toExponential(1),
};

function showChecks({ checks, inputs }: Certificate): HTMLElement {
  const rows = checks.map(({ name, passed, figure, bound, unit }) => {
    const verdict = bound === undefined ? "reported" : passed ? "passed" : "failed";
    const sign = unit === "of the largest value" ? "≤" : "≥";
    return [
      name,
      UNITS[unit](figure),
      bound === undefined ? "" : `${sign} ${UNITS[unit](bound)}`,
      make(
        "span",
        { class: bound === undefined ? "soft" : passed ? "pass" : "fail" },
        make("span", { class: "unseen" }, verdict),
        make("span", { class: "sign" }),
      ),
    ];
  });
  return makeTable(
    `${inputs} golden inputs, against the trained network in double precision`,
    ["check", "here", "bound", ""],
    rows,
  );
}

function showControls(controls: Control[]): HTMLElement {
  const rows = controls.map(({ name, caught, why }) => {
    const verdict = caught === undefined ? "cannot be made" : caught ? "noticed" : "not noticed";
    const cell = make("span", { class: caught === undefined ? "soft" : caught ? "pass" : "fail", title: why }, verdict);
    return [name, cell];
  });
  return makeTable("Deliberate mistakes, which have to be noticed", ["mistake", ""], rows);
}
