// Which bundle is open, and which others are there? Bundles that differ in precision alone are one choice.

import type { Card } from "../bundle/card.ts";
import type { BundleSource } from "../bundle/files.ts";
import { find, make } from "./dom.ts";

const TASKS: Record<string, string> = {
  classification: "classes",
  multilabel: "several labels",
  detect: "boxes",
  instance: "masks",
  semantic: "pixels",
};
const PRECISION = /[-_]?\b(fp32|fp16|int8)\b/;

interface Family {
  key: string;
  members: BundleSource[];
}

const select = find("family", HTMLSelectElement);
const segments = find("precisions", HTMLFieldSetElement);

/** The picker of bundles; `choose` is called with the one to open. */
export class Networks {
  private families: Family[] = [];
  private readonly choose: (source: BundleSource) => void;

  constructor(choose: (source: BundleSource) => void) {
    this.choose = choose;
    select.onchange = () => {
      const [first] = this.showPrecisions(select.value);
      if (first) this.choose(first);
    };
  }

  /** Add bundles and mark the first of them as chosen; one of the same name takes the other's place. */
  add(sources: BundleSource[]): BundleSource | undefined {
    for (const source of sources) {
      const key = source.name.replace(PRECISION, "");
      const family = this.families.find((one) => one.key === key) ?? { key, members: [] };
      if (!this.families.includes(family)) this.families.push(family);
      family.members = [...family.members.filter(({ name }) => name !== source.name), source];
    }
    select.replaceChildren(
      ...this.families.map(({ key, members }) => make("option", { value: key }, this.describe(members[0], key))),
    );
    select.disabled = this.families.length === 0;
    if (sources[0]) this.mark(sources[0]);
    return sources[0];
  }

  get count(): number {
    return this.families.reduce((sum, { members }) => sum + members.length, 0);
  }

  private mark(source: BundleSource): void {
    select.value = source.name.replace(PRECISION, "");
    this.showPrecisions(select.value, source);
  }

  private describe({ name, listed }: BundleSource, key: string): string {
    const others = this.families.filter(
      ({ members }) => members[0].listed.model === listed.model && members[0].listed.task === listed.task,
    );
    if (!listed.model || !listed.task || others.length > 1) return key || name;
    return `${listed.model}, ${TASKS[listed.task] ?? listed.task}`;
  }

  /** Offer the precisions of a family; returns its members, the marked one (or the first) chosen. */
  private showPrecisions(key: string, marked?: BundleSource): BundleSource[] {
    const members = this.families.find((one) => one.key === key)?.members ?? [];
    const chosen = marked ?? members[0];
    const labels = members.map((source) => {
      const radio = make("input", { type: "radio", name: "precision", checked: source === chosen });
      radio.onchange = () => this.choose(source);
      return make(
        "label",
        {},
        radio,
        make("span", {}, source.listed.precision ?? PRECISION.exec(source.name)?.[1] ?? "as it is"),
      );
    });
    segments.replaceChildren(segments.querySelector("legend") as HTMLElement, ...labels);
    return members;
  }
}

/** What there is to know of an open bundle, in a line. */
export function showFacts(name: string, card: Card, bytes: number): void {
  const { params_m, gmacs } = card.complexity;
  const contract = card.preprocessing;
  const side = "image_size" in contract ? `${contract.image_size} px` : `${contract.width} x ${contract.height} px`;
  const facts = [
    `${params_m.toFixed(2)} M parameters`,
    `${gmacs.toFixed(gmacs < 0.1 ? 3 : 2)} GMACs`,
    side,
    `${card.classes.length} classes`,
    `${(bytes / 1e6).toFixed(1)} MB`,
    `certificate ${card.certificate.verdict}`,
  ];
  find("facts", HTMLParagraphElement).textContent = facts.filter(Boolean).join(" · ");
  find("facts", HTMLParagraphElement).title = name;
}

export function showLoading(share: number | undefined): void {
  const bar = find("loading", HTMLProgressElement);
  bar.hidden = share === undefined;
  bar.value = share ?? 0;
}
