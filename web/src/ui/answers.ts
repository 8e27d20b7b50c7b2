// How is an answer put into words and bars?

import { type Answer, type ObjectAnswer, type PixelAnswer, rank } from "../answers/answer.ts";
import { pickColor } from "../answers/colors.ts";
import type { Card } from "../bundle/card.ts";
import type { Answered } from "../run/protocol.ts";
import { find, formatMs, formatShare, make } from "./dom.ts";
import { redraw } from "./stage.ts";

const TOP = 5;
const LISTED = 20;
const LIKELY = 0.5;

const place = find("answer", HTMLDivElement);

/** Show an answer; returns it in one sentence, for screen readers. */
export function showAnswer(card: Card, { answer, steps, note, width, height }: Answered, backend: string): string {
  const note_ = find("note", HTMLParagraphElement);
  note_.hidden = note === "";
  note_.textContent = note;
  const named = [
    ["decode", steps.decode],
    ["resize", steps.resize],
    ["network", steps.network],
    ["answer", steps.post],
  ] as const;
  const parts = named
    .filter(([name, value]) => name !== "decode" || value > 0)
    .map(([name, value]) => `${name} ${formatMs(value)}`);
  find("steps", HTMLParagraphElement).textContent = `${parts.join(" · ")} — ${backend}`;
  return SHOW[answer.kind](card, answer as never, { width, height });
}

/** The least score that is shown; the slider for it is there where there are scores to choose from. */
export function readThreshold(objects: boolean): number {
  find("sureness", HTMLLabelElement).hidden = !objects;
  const slider = find("threshold", HTMLInputElement);
  find("sureness-value", HTMLOutputElement).textContent = `${Math.round(100 * slider.valueAsNumber)}%`;
  return slider.valueAsNumber;
}

type Size = { width: number; height: number };
const SHOW: { [K in Answer["kind"]]: (card: Card, answer: Extract<Answer, { kind: K }>, size: Size) => string } = {
  classes: (card, { probabilities }) => {
    const best = rank(probabilities, TOP);
    const multilabel = card.task === "multilabel";
    const said = best.map((i) => `${card.classes[i]} ${formatShare(probabilities[i])}`);
    const rows = best.map((i) => {
      const fill = make("i");
      fill.style.width = `${100 * probabilities[i]}%`;
      return make(
        "li",
        { class: multilabel && probabilities[i] < LIKELY ? "off" : "" },
        make("span", { class: "name" }, card.classes[i]),
        make("span", { class: "value" }, formatShare(probabilities[i])),
        make("span", { class: "bar" }, fill),
      );
    });
    const likely = best.filter((i) => probabilities[i] >= LIKELY);
    const title = multilabel
      ? likely.map((i) => card.classes[i]).join(", ") || "Nothing likely"
      : card.classes[best[0]];
    const value = multilabel
      ? `${likely.length} of ${card.classes.length} labels`
      : formatShare(probabilities[best[0]]);
    place.replaceChildren(showBest(title, value), make("ol", { class: "bars" }, ...rows));
    return multilabel ? `${title}. Likeliest: ${said.join(", ")}` : `${said[0]}; then ${said.slice(1).join(", ")}`;
  },
  objects: showObjects,
  pixels: showShares,
};

function showBest(title: string, value: string): HTMLElement {
  return make("p", { class: "best" }, make("strong", {}, title), make("span", {}, value));
}

function showObjects(card: Card, answer: ObjectAnswer, size: Size): string {
  const count = answer.scores.length;
  const items = [...answer.scores.keys()].slice(0, LISTED).map((i) => {
    const name = make(
      "span",
      {},
      card.classes[answer.labels[i]],
      make("small", {}, describePlace(answer.boxes.subarray(i * 4), size)),
    );
    const item = make(
      "li",
      {},
      makeChip(answer.labels[i]),
      name,
      make("span", { class: "value" }, formatShare(answer.scores[i])),
    );
    item.onmouseenter = () => redraw(i);
    item.onmouseleave = () => redraw();
    return item;
  });
  const title = count === 0 ? "Nothing sure" : count === 1 ? "1 object" : `${count} objects`;
  const rest = count > LISTED ? make("p", { class: "soft" }, `and ${count - LISTED} with less`) : undefined;
  place.replaceChildren(showBest(title, ""), make("ul", { class: "found" }, ...items), rest ?? "");
  const said = [...answer.scores.keys()]
    .slice(0, TOP)
    .map((i) => `${card.classes[answer.labels[i]]} ${formatShare(answer.scores[i])}`);
  return count === 0 ? title : `${title}: ${said.join(", ")}${count > TOP ? " and more" : ""}`;
}

/** Where a box is and how large, in words: the text alternative of what is drawn. */
function describePlace(box: ArrayLike<number>, { width, height }: Size): string {
  const [x, y] = [(box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height];
  const third = (share: number, words: string[]) => words[Math.min(2, Math.max(0, Math.floor(share * 3)))];
  const where = `${third(y, ["upper", "middle", "lower"])} ${third(x, ["left", "centre", "right"])}`;
  const share = ((box[2] - box[0]) * (box[3] - box[1])) / (width * height);
  return `${where === "middle centre" ? "centre" : where}, ${formatShare(share)} of the picture`;
}

function makeChip(label: number): HTMLElement {
  const chip = make("span", { class: "chip" });
  chip.style.backgroundColor = `rgb(${pickColor(label)})`;
  return chip;
}

function showShares(card: Card, { semantic }: PixelAnswer): string {
  const counts = new Map<number, number>();
  for (const label of semantic) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const share = (count: number) => formatShare(count / semantic.length);
  const items = sorted.map(([label, count]) =>
    make(
      "li",
      {},
      makeChip(label),
      make("span", {}, card.classes[label] ?? String(label)),
      make("span", { class: "value" }, share(count)),
    ),
  );
  const foreground = sorted.filter(([label]) => card.classes[label] !== "background").length;
  const title = foreground === 0 ? "Background alone" : foreground === 1 ? "1 class" : `${foreground} classes`;
  place.replaceChildren(showBest(title, ""), make("ul", { class: "found" }, ...items));
  return `${title}: ${sorted
    .slice(0, TOP)
    .map(([label, count]) => `${card.classes[label]} ${share(count)} of the picture`)
    .join(", ")}`;
}
