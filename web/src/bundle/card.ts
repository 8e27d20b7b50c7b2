// What does a bundle's card say, and can this page use it?

import { PageError } from "../errors.ts";
import { readPythonJson } from "./card_json.ts";
import { computeHash } from "./hash.ts";

export const CARD = "card.json";
export const GOLDEN = "golden.npz";
const CARD_VERSION = 1;
/** Those with an engine in run/engines.ts. */
const FORMATS = ["onnx", "litert"];

export type Task = "classification" | "multilabel" | "detect" | "instance" | "semantic";

/** How a picture becomes a classifier's input. */
export interface ClassifierContract {
  image_size: number;
  crop_pct: number;
  interpolation: string;
  mean: number[];
  std: number[];
}

/** How a picture becomes a detector's or segmenter's input; sides in pixels, fill RGB. */
export interface DenseContract {
  height: number;
  width: number;
  fit: "pad" | "stretch";
  short_side: number;
  long_side: number;
  fill: number[];
  mean: number[];
  std: number[];
}

/** How a detector's or segmenter's outputs become an answer. */
export interface AnswerRule {
  kind: "points" | "slots" | "logits";
  score_threshold: number;
  iou_threshold: number;
  candidates: number;
  detections: number;
}

export interface CardCheck {
  name: string;
  passed: boolean;
  figure: number | string;
  bound: number | string;
  unit: string;
}

/** The part of card.json that this page reads. */
export interface Card {
  card_version: number;
  model: string;
  format: string;
  precision: string;
  artifact: string;
  task: Task;
  classes: string[];
  preprocessing: ClassifierContract | DenseContract;
  input: { dtype: "uint8" | "float32"; min_batch: number; max_batch: number };
  output?: { name: string };
  outputs?: { name: string }[];
  answers?: AnswerRule;
  certificate: { verdict: string; checks: CardCheck[] };
  complexity: { params_m: number; gmacs: number };
  files: Record<string, string>;
  card_sha256: string;
}

/** Outputs by name, in the artifact's order. */
export function outputNames(card: Card): string[] {
  return (card.outputs ?? [card.output as { name: string }]).map((output) => output.name);
}

export function isClassifier(card: Card): boolean {
  return card.output !== undefined;
}

/** The card in this text. Throws PageError: changed after it was written, of another version, format or kind. */
export async function readCard(text: string, where: string): Promise<Card> {
  const { value, canonical } = readPythonJson(text, "card_sha256");
  const card = value as Card;
  if (card.card_version !== CARD_VERSION) {
    throw new PageError(
      `${where} has a card of version ${card.card_version}, this page reads ${CARD_VERSION}; export it again.`,
    );
  }
  if ((await computeHash(new TextEncoder().encode(canonical))) !== card.card_sha256) {
    throw new PageError(
      `The card of ${where} was changed after it was written: its card_sha256 does not match; export it again.`,
    );
  }
  if (!FORMATS.includes(card.format)) {
    throw new PageError(
      `${where} is for ${card.format}, and browsers run ONNX and LiteRT; export it with rapidnet export RUN --format litert.`,
    );
  }
  if (!isClassifier(card) && !["points", "slots", "logits"].includes(card.answers?.kind ?? "")) {
    const names = outputNames(card).join(", ");
    throw new PageError(
      `${where} answers with ${names}, not with objects or classes; export it without --part features.`,
    );
  }
  return card;
}
