// How do an artifact's outputs become an answer in the picture's own pixels? As rapidnet.runtimes.pictures does it.

import { type AnswerRule, type Card, isClassifier } from "../bundle/card.ts";
import { PageError } from "../errors.ts";
import type { Placed } from "../pictures/prepare.ts";
import { type Detections, selectDetections } from "./detections.ts";
import { enlargeAndPick, type Mask, pasteMask } from "./maps.ts";

/** One output of an artifact, the batch first. */
export interface Output {
  data: Float32Array;
  dims: readonly number[];
}
export type Outputs = Record<string, Output>;

export interface ClassAnswer {
  kind: "classes";
  probabilities: Float32Array;
}
/** In the picture's pixels. masks: one for each box, where the network gives any. */
export interface ObjectAnswer extends Detections {
  kind: "objects";
  masks?: Mask[];
}
/** The class of each pixel, [height x width]. */
export interface PixelAnswer {
  kind: "pixels";
  semantic: Uint8Array;
  width: number;
  height: number;
}
export type Answer = ClassAnswer | ObjectAnswer | PixelAnswer;

const MASK_THRESHOLD = 0.5;

export function buildAnswer(card: Card, outputs: Outputs, placed: Placed): Answer {
  if (isClassifier(card)) return { kind: "classes", probabilities: readProbabilities(card, outputs) };
  const rule = card.answers as AnswerRule;
  return ANSWERS[rule.kind](outputs, placed, rule);
}

/** The first row of a classifier's output; softmax or sigmoid where the artifact leaves that to the caller. */
function readProbabilities(card: Card, outputs: Outputs): Float32Array {
  const name = card.output?.name ?? "";
  const values = outputs[name].data.subarray(0, card.classes.length);
  if (name !== "logits") return values.slice();
  if (card.task === "multilabel") return values.map((value) => 1 / (1 + Math.exp(-value)));
  const largest = values.reduce((a, b) => Math.max(a, b));
  const powers = values.map((value) => Math.exp(value - largest));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / total);
}

const ANSWERS: Record<AnswerRule["kind"], (outputs: Outputs, placed: Placed, rule: AnswerRule) => Answer> = {
  points: ({ boxes, scores }, placed, rule) => {
    const classes = scores.dims[2];
    const found = selectDetections(clipBoxes(boxes.data, placed), scores.data, classes, rule);
    return { kind: "objects", ...found, boxes: enlargeBoxes(found.boxes, placed) };
  },
  slots: answerSlots,
  logits: ({ logits }, placed) => {
    const [, classes, height, width] = logits.dims;
    if (classes > 256)
      throw new PageError("This network tells more than 256 classes of pixels apart, more than the page draws.");
    return {
      kind: "pixels",
      semantic: enlargeAndPick(logits.data, classes, { height, width }, placed.size),
      ...placed.size,
    };
  },
};

/** Every slot with a score above 0 and a box that is not in the padding alone. */
function answerSlots({ boxes, scores, labels, masks }: Outputs, placed: Placed): ObjectAnswer {
  const clipped = clipBoxes(boxes.data, placed);
  const kept = [...scores.data.keys()].filter(
    (i) => scores.data[i] > 0 && clipped[i * 4 + 2] > clipped[i * 4] && clipped[i * 4 + 3] > clipped[i * 4 + 1],
  );
  const pick = (from: Float32Array) => Float32Array.from(kept.flatMap((i) => [...from.subarray(i * 4, i * 4 + 4)]));
  const found: ObjectAnswer = {
    kind: "objects",
    boxes: enlargeBoxes(pick(clipped), placed),
    scores: Float32Array.from(kept, (i) => scores.data[i]),
    labels: Int32Array.from(kept, (i) => labels.data[i]),
  };
  if (masks) {
    const cells = masks.dims[2];
    const uncut = enlargeBoxes(pick(boxes.data), placed);
    found.masks = kept.map((slot, i) => {
      const mask = masks.data.subarray(slot * cells * cells, (slot + 1) * cells * cells);
      return pasteMask(mask, cells, uncut.subarray(i * 4, i * 4 + 4), placed.size, MASK_THRESHOLD);
    });
  }
  return found;
}

/** Boxes [N x 4] end where the picture does. */
function clipBoxes(boxes: Float32Array, { inside }: Placed): Float32Array {
  return boxes.map((edge, i) => Math.min(edge, i % 2 ? inside.height : inside.width));
}

/** From an artifact's pixels to the picture's, in single precision. */
function enlargeBoxes(boxes: Float32Array, { size, inside }: Placed): Float32Array {
  const across = Math.fround(size.width / inside.width);
  const down = Math.fround(size.height / inside.height);
  return boxes.map((edge, i) => edge * (i % 2 ? down : across));
}

/** The objects whose score is at least `threshold`; other answers as they are. They come best first. */
export function keepSure(answer: Answer, threshold: number): Answer {
  if (answer.kind !== "objects") return answer;
  const count = answer.scores.filter((score) => score >= threshold).length;
  return {
    kind: "objects",
    boxes: answer.boxes.subarray(0, 4 * count),
    scores: answer.scores.subarray(0, count),
    labels: answer.labels.subarray(0, count),
    ...(answer.masks && { masks: answer.masks.slice(0, count) }),
  };
}

/** Numbers of the likeliest classes, the best first; of equal ones the later, as everywhere in rapidnet. */
export function rank(probabilities: Float32Array, count: number): number[] {
  return [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || b - a).slice(0, count);
}
