// How do several bundles and backends take turns in one page? With ?turns a script drives them: scripts/browser_bench.py.

import { GOLDEN } from "../bundle/card.ts";
import { listServed, openBundle } from "../bundle/files.ts";
import { PageError } from "../errors.ts";
import { type BackendId, listOffers } from "../run/offers.ts";
import { Runner } from "../run/runner.ts";

/** What the page can be asked for: a network opened in a backend, and milliseconds of its runs. */
export interface Turns {
  /** Opens a bundle and holds it against its golden answers. Throws PageError: they differ, or there is no such backend. */
  open(bundle: string, backend: BackendId, threads: number): Promise<{ id: number; loadMs: number; firstMs: number }>;
  run(id: number, runs: number): Promise<number[]>;
}

const opened: Runner[] = [];

export const turns: Turns = {
  open: async (name, backend, threads) => {
    const source = (await listServed()).find((one) => one.name === name);
    if (!source) throw new PageError(`This server offers no bundle ${name}.`);
    const bundle = await openBundle(source, () => {});
    const offers = (await listOffers(bundle.card)).filter((offer) => offer.backend === backend);
    const offer = offers.find((one) => one.threads === threads) ?? offers.find((one) => one.threads === 1);
    if (!offer || offer.unavailable) throw new PageError(`${name} does not run in ${backend} here.`);
    const runner = await new Runner(offer).open(bundle.card, bundle.files, GOLDEN);
    const { agrees, checks, firstMs } = await runner.call("glance", {});
    if (!agrees) throw new PageError(`${name} in ${backend} is not what was certified: ${JSON.stringify(checks)}.`);
    return { id: opened.push(runner) - 1, loadMs: runner.loadMs, firstMs };
  },
  run: async (id, runs) => (await opened[id].call("runs", { runs })).times,
};
