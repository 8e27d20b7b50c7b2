// How does the page speak to a worker: one call after the other, each a promise?

import type { Card } from "../bundle/card.ts";
import { PageError } from "../errors.ts";
import type { Offer } from "./offers.ts";
import type { CallName, Calls, Reply } from "./protocol.ts";
import workerUrl from "./worker.ts?worker&url";

interface Waiting {
  resolve: (value: never) => void;
  reject: (error: Error) => void;
  report: (share: number) => void;
}

/** A network in one backend, in a worker of its own. */
export class Runner {
  readonly offer: Offer;
  loadMs = 0;
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  constructor(offer: Offer) {
    this.offer = offer;
    this.worker = startWorker(`${offer.backend} ${offer.threads}`);
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.receive(data);
    this.worker.onerror = (event) => this.fail(event.message || "the worker stopped");
  }

  async open(card: Card, files: Map<string, Uint8Array<ArrayBuffer>>, golden: string): Promise<this> {
    const [model, inputs] = [card.artifact, golden].map((name) => files.get(name));
    if (!model || !inputs)
      throw new PageError("The bundle's card names no network or no golden inputs; export it again.");
    const { backend, threads } = this.offer;
    this.loadMs = (await this.call("open", { backend, threads, card, model, golden: inputs })).loadMs;
    return this;
  }

  call<K extends CallName>(
    call: K,
    asks: Calls[K]["asks"],
    report: (share: number) => void = () => {},
    transfer: Transferable[] = [],
  ): Promise<Calls[K]["gives"]> {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as Waiting["resolve"], reject, report });
      this.worker.postMessage({ id, call, asks }, transfer);
    });
  }

  close(): void {
    this.worker.terminate();
    this.fail("it was closed");
  }

  private receive(reply: Reply): void {
    const waiting = this.waiting.get(reply.id);
    if (!waiting) return;
    if (reply.kind === "progress") {
      waiting.report(reply.share);
      return;
    }
    this.waiting.delete(reply.id);
    if (reply.kind === "done") waiting.resolve(reply.value as never);
    else waiting.reject(reply.ours ? new PageError(reply.message) : new Error(reply.message));
  }

  private fail(why: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(`${this.offer.title}: ${why}`));
    this.waiting.clear();
  }
}

/** A worker that stands under the page's own content-security policy, whatever headers its file came with. */
function startWorker(name: string): Worker {
  const code = new Blob([`import ${JSON.stringify(new URL(workerUrl, location.href).href)};`], {
    type: "text/javascript",
  });
  const url = URL.createObjectURL(code);
  const worker = new Worker(url, { type: "module", name });
  worker.addEventListener("message", () => URL.revokeObjectURL(url), { once: true });
  return worker;
}
