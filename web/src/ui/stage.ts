// What is on the stage: a picture or the camera's, with the answer drawn over it?

import type { Answer } from "../answers/answer.ts";
import { find } from "./dom.ts";
import { drawObjects, drawPixels, type View } from "./drawing.ts";

const stage = find("stage", HTMLDivElement);
const picture = find("picture", HTMLCanvasElement);
const overlay = find("overlay", HTMLCanvasElement);
const video = find("video", HTMLVideoElement);
const hint = find("hint", HTMLParagraphElement);

/** What the overlay shows: an answer in the pixels of a picture of this size. */
interface Shown {
  answer: Answer;
  classes: string[];
  width: number;
  height: number;
}
let shown: Shown | undefined;

/** Put a decoded picture on the stage, in place of the camera. */
export function showPicture(preview: ImageBitmap, description: string): void {
  hint.hidden = video.hidden = true;
  picture.hidden = false;
  picture.width = preview.width;
  picture.height = preview.height;
  picture.getContext("2d")?.drawImage(preview, 0, 0);
  preview.close();
  describePicture(description);
}

/** What the picture shows, for those who do not see it. */
export function describePicture(description: string): void {
  picture.setAttribute("aria-label", description);
}

export function showCamera(): void {
  hint.hidden = picture.hidden = true;
  video.hidden = false;
}

export function showNothing(): void {
  hint.hidden = picture.hidden = false;
  video.hidden = true;
  picture.width = picture.height = 1;
  shown = undefined;
  redraw();
}

export function showBusy(busy: boolean): void {
  find("busy", HTMLDivElement).hidden = !busy;
}

/** Draw an answer over what is on the stage. */
export function drawAnswer(answer: Answer, classes: string[], width: number, height: number): void {
  shown = { answer, classes, width, height };
  redraw();
}

/** Draw again, with the box numbered `marked` standing out. */
export function redraw(marked = -1): void {
  const { answer, classes, width, height } = shown ?? { answer: undefined, classes: [], width: 4, height: 3 };
  const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const density = window.devicePixelRatio || 1;
  overlay.width = Math.max(1, Math.round(width * scale * density));
  overlay.height = Math.max(1, Math.round(height * scale * density));
  const context = overlay.getContext("2d");
  if (!context || !answer) return;
  const view: View = { context, width: overlay.width, height: overlay.height, density };
  if (answer.kind === "objects") drawObjects(view, answer, classes, { width, height }, marked);
  if (answer.kind === "pixels") drawPixels(view, answer, classes);
}

new ResizeObserver(() => redraw()).observe(stage);
