// How are boxes, masks and classes of pixels drawn over a picture?

import type { ObjectAnswer, PixelAnswer } from "../answers/answer.ts";
import { inkOn, pickColor } from "../answers/colors.ts";
import { formatShare } from "./dom.ts";

/** Where a picture of width x height is shown: its scale on the canvas. */
export interface View {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
  /** Canvas pixels a CSS pixel. */
  density: number;
}

const COVER = 150;

/** Boxes with names; the one numbered `marked` stands out. */
export function drawObjects(
  view: View,
  answer: ObjectAnswer,
  classes: string[],
  picture: { width: number; height: number },
  marked = -1,
): void {
  const { context, density } = view;
  const across = view.width / picture.width;
  const down = view.height / picture.height;
  if (answer.masks) paint(view, (x, y) => findMask(answer, (x * picture.width) | 0, (y * picture.height) | 0));
  context.font = `600 ${13 * density}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  // The best last, so that it lies on top.
  for (let i = answer.scores.length - 1; i >= 0; i--) {
    const [left, top, right, bottom] = answer.boxes.subarray(i * 4, i * 4 + 4);
    const color = pickColor(answer.labels[i]);
    context.globalAlpha = marked < 0 || marked === i ? 1 : 0.25;
    context.lineWidth = (marked === i ? 4 : 2.5) * density;
    context.strokeStyle = `rgb(${color})`;
    context.strokeRect(left * across, top * down, (right - left) * across, (bottom - top) * down);
    drawLabel(view, `${classes[answer.labels[i]]} ${formatShare(answer.scores[i])}`, left * across, top * down, color);
  }
  context.globalAlpha = 1;
}

function drawLabel(
  { context, density, width }: View,
  text: string,
  left: number,
  top: number,
  color: [number, number, number],
): void {
  const [wide, high] = [context.measureText(text).width + 12 * density, 20 * density];
  const x = Math.max(0, Math.min(left - 1, width - wide));
  const y = top - high >= 0 ? top - high : top;
  context.fillStyle = `rgb(${color})`;
  context.fillRect(x, y, wide, high);
  context.fillStyle = inkOn(color);
  context.fillText(text, x + 6 * density, y + high / 2);
}

/** The class of the best mask at a pixel of the picture; -1 for none. */
function findMask({ masks = [], labels }: ObjectAnswer, x: number, y: number): number {
  const found = masks.findIndex(({ left, top, width, height, data }) => {
    const within = x >= left && y >= top && x < left + width && y < top + height;
    return within && data[(y - top) * width + x - left] === 1;
  });
  return found < 0 ? -1 : labels[found];
}

/** Each pixel in its class's colour; a class called background stays clear. */
export function drawPixels(view: View, answer: PixelAnswer, classes: string[]): void {
  const clear = classes.indexOf("background");
  paint(view, (x, y) => {
    const found = answer.semantic[((y * answer.height) | 0) * answer.width + ((x * answer.width) | 0)];
    return found === clear ? -1 : found;
  });
}

/** Cover the view with the colour of the class at each place, (x, y) from 0 to 1; -1 for none. */
function paint({ context, width, height, density }: View, classAt: (x: number, y: number) => number): void {
  // A colour for each CSS pixel is enough, and a ninth of the work on a phone.
  const image = new ImageData(Math.max(1, Math.round(width / density)), Math.max(1, Math.round(height / density)));
  for (let y = 0, at = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++, at += 4) {
      const found = classAt((x + 0.5) / image.width, (y + 0.5) / image.height);
      if (found < 0) continue;
      image.data.set(pickColor(found), at);
      image.data[at + 3] = COVER;
    }
  }
  const layer = new OffscreenCanvas(image.width, image.height);
  layer.getContext("2d")?.putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0, width, height);
}
