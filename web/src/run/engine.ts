// Which backend runs the network? Of those whose golden answers agree, the fastest, as measured here.

import { GOLDEN } from "../bundle/card.ts";
import type { OpenBundle } from "../bundle/files.ts";
import { PageError } from "../errors.ts";
import { listOffers, type Offer } from "./offers.ts";
import type { CallName, Calls } from "./protocol.ts";
import { Runner } from "./runner.ts";

const TIMING_MS = 400;

/** What is known of one backend. state: in words for the screen; median: ms of a run; agrees: undefined until tried. */
export interface Candidate {
  offer: Offer;
  state: "waiting" | "trying" | "ready" | "failed";
  agrees?: boolean;
  median?: number;
  runs?: number;
  why: string;
}

export class Engine {
  candidates: Candidate[] = [];
  private runner: Runner | undefined;
  private bundle: OpenBundle | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  private opening = 0;
  private readonly changed: () => void;

  /** changed: is called when what `candidates` or `active` say is new. */
  constructor(changed: () => void) {
    this.changed = changed;
  }

  get active(): Offer | undefined {
    return this.runner?.offer;
  }

  get loadMs(): number {
    return this.runner?.loadMs ?? Number.NaN;
  }

  /** Open a bundle in the first backend whose answers agree; the others are measured afterwards. */
  open(bundle: OpenBundle): Promise<void> {
    const opening = ++this.opening;
    return this.inTurn(() => this.openFirst(bundle, opening));
  }

  private async openFirst(bundle: OpenBundle, opening: number): Promise<void> {
    if (opening !== this.opening) return;
    this.runner?.close();
    this.runner = undefined;
    this.bundle = bundle;
    const offers = await listOffers(bundle.card);
    this.candidates = offers.map((offer) => ({
      offer,
      state: offer.unavailable ? "failed" : "waiting",
      why: offer.unavailable || (offer.software ? "not tried by itself, since it is slow" : ""),
    }));
    this.changed();
    // The most threads first: that is what most likely stays.
    const order = this.candidates.filter(({ state, offer }) => state === "waiting" && !offer.software);
    order.sort(
      (a, b) =>
        Number(a.offer.backend !== "wasm") - Number(b.offer.backend !== "wasm") || b.offer.threads - a.offer.threads,
    );
    while (!this.runner && order.length > 0) await this.try(order.shift() as Candidate, opening);
    if (opening !== this.opening) return;
    if (!this.runner) {
      const reasons = this.candidates.map(({ offer, why }) => `${offer.title}: ${why}`).join("; ");
      throw new PageError(
        `No backend of this browser gives the certified numbers of ${bundle.name} (${reasons}). Verify on this device shows all figures.`,
      );
    }
    void this.tryAll(order, opening);
  }

  private async tryAll(order: Candidate[], opening: number): Promise<void> {
    for (const candidate of order) {
      await this.inTurn(() => this.try(candidate, opening));
      if (opening !== this.opening) return;
    }
  }

  /** Open, glance at the numbers, time; the runner that is faster than the active one takes its place. */
  private async try(candidate: Candidate, opening: number, wanted = false): Promise<void> {
    const bundle = this.bundle as OpenBundle;
    const runner = new Runner(candidate.offer);
    candidate.state = "trying" as Candidate["state"];
    this.changed();
    try {
      await runner.open(bundle.card, bundle.files, GOLDEN);
      const { agrees, checks } = await runner.call("glance", {});
      candidate.agrees = agrees;
      const worst = checks.find(({ passed }) => !passed);
      if (worst)
        throw new PageError(
          `its numbers are not the certified ones (${worst.name} ${worst.figure.toPrecision(3)} ${worst.unit})`,
        );
      const timed = await runner.call("time", { milliseconds: TIMING_MS });
      Object.assign(candidate, { state: "ready", why: "", ...timed });
    } catch (error) {
      candidate.state = "failed";
      candidate.why = error instanceof Error ? error.message : String(error);
    }
    const better = candidate.state === "ready" && (wanted || (candidate.median ?? 0) < this.activeMedian());
    if (better && opening === this.opening) {
      this.runner?.close();
      this.runner = runner;
    } else runner.close();
    if (opening === this.opening) this.changed();
  }

  private activeMedian(): number {
    return this.candidates.find(({ offer }) => offer === this.active)?.median ?? Number.POSITIVE_INFINITY;
  }

  /** Take a backend by hand; it, too, has to show the certified numbers. Throws PageError. */
  choose(offer: Offer): Promise<void> {
    return this.inTurn(async () => {
      const candidate = this.candidates.find((one) => one.offer === offer);
      if (!candidate || offer === this.active) return;
      await this.try(candidate, this.opening, true);
      if (this.active !== offer) throw new PageError(`${offer.title} cannot be used: ${candidate.why}.`);
    });
  }

  /** Ask the active backend, when it is its turn. */
  ask<K extends CallName>(
    call: K,
    asks: Calls[K]["asks"],
    report?: (share: number) => void,
    transfer?: Transferable[],
  ): Promise<Calls[K]["gives"]> {
    return this.inTurn(() => {
      if (!this.runner) throw new PageError("No network is open yet; choose one first.");
      return this.runner.call(call, asks, report, transfer);
    });
  }

  /** Verify every backend that runs here, the active one first; `show` is told of each as it is done. */
  verifyAll(
    show: (offer: Offer, result: Calls["verify"]["gives"] | string) => void,
    report: (offer: Offer, share: number) => void,
  ): Promise<void> {
    return this.inTurn(async () => {
      const { card, files } = this.bundle as OpenBundle;
      const usable = this.candidates.filter(
        ({ offer }) => !offer.unavailable && (!offer.software || offer === this.active),
      );
      usable.sort((a, b) => Number(b.offer === this.active) - Number(a.offer === this.active));
      for (const { offer } of usable) {
        const runner = offer === this.active ? (this.runner as Runner) : new Runner(offer);
        try {
          if (runner !== this.runner) await runner.open(card, files, GOLDEN);
          show(offer, await runner.call("verify", {}, (share) => report(offer, share)));
        } catch (error) {
          show(offer, error instanceof Error ? error.message : String(error));
        }
        if (runner !== this.runner) runner.close();
      }
    });
  }

  /** Measure the active backend anew from its start; `started` receives what stops it. */
  bench(
    asks: Calls["bench"]["asks"],
    report: (share: number) => void,
    started: (stop: () => void) => void,
  ): Promise<{ loadMs: number; result: Calls["bench"]["gives"] }> {
    return this.inTurn(async () => {
      const { card, files } = this.bundle as OpenBundle;
      const runner = new Runner(this.active as Offer);
      try {
        await runner.open(card, files, GOLDEN);
        started(() => void runner.call("stop", {}));
        return { loadMs: runner.loadMs, result: await runner.call("bench", asks, report) };
      } finally {
        runner.close();
      }
    });
  }

  /** One thing at a time: a measurement must not be disturbed, nor two networks compute at once. */
  private inTurn<T>(job: () => Promise<T>): Promise<T> {
    const result = this.queue.then(job);
    this.queue = result.catch(() => {});
    return result;
  }
}
