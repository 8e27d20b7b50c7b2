// How does a picture of any shape become an artifact's input? As the card's preprocessing says, and as Python does it.

import type { ClassifierContract, DenseContract } from "../bundle/card.ts";
import type { Raster } from "./raster.ts";
import { resize } from "./resample.ts";

/** Sides in pixels. */
export interface Size {
  height: number;
  width: number;
}

/**
 * A picture as an artifact takes it. pixels: RGB, channel after channel, [3, H, W] of `full`.
 * inside: the part of it that shows the picture, from the upper left corner on; size: the picture's own.
 */
export interface Placed {
  pixels: Uint8Array;
  full: Size;
  inside: Size;
  size: Size;
}

/** Python's round: halves go to the even neighbour. */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

export function prepare(image: Raster, contract: ClassifierContract | DenseContract): Placed {
  return "crop_pct" in contract ? cropCenter(image, contract) : placePicture(image, contract);
}

/** Resize the short side to image_size / crop_pct, crop the centre. */
function cropCenter(image: Raster, contract: ClassifierContract): Placed {
  const side = contract.image_size;
  const short = roundHalfEven(side / contract.crop_pct);
  const { width, height } = image;
  const [toWidth, toHeight] =
    width <= height ? [short, Math.trunc((short * height) / width)] : [Math.trunc((short * width) / height), short];
  const resized = resize(image, toWidth, toHeight, contract.interpolation);
  const left = roundHalfEven((toWidth - side) / 2);
  const top = roundHalfEven((toHeight - side) / 2);
  const full = { height: side, width: side };
  return { pixels: spreadChannels(resized, full, left, top, [0, 0, 0]), full, inside: full, size: { height, width } };
}

/** Resize by the bilinear filter, and pad at the right and the bottom. */
function placePicture(image: Raster, contract: DenseContract): Placed {
  const full = { height: contract.height, width: contract.width };
  const size = { height: image.height, width: image.width };
  const inside = contract.fit === "stretch" ? full : fitSize(size, contract.short_side, contract.long_side);
  const resized = resize(image, inside.width, inside.height, "bilinear");
  return { pixels: spreadChannels(resized, full, 0, 0, contract.fill), full, inside, size };
}

/** The largest size of the same shape within the two sides. */
export function fitSize({ height, width }: Size, short: number, long: number): Size {
  const scale = Math.min(short / Math.min(height, width), long / Math.max(height, width));
  const fit = (side: number) => Math.max(1, roundHalfEven(side * scale));
  return { height: fit(height), width: fit(width) };
}

/** The part of a picture from (left, top) on as [3, H, W]; `fill` where there is no picture. */
function spreadChannels(image: Raster, full: Size, left: number, top: number, fill: number[]): Uint8Array {
  const area = full.height * full.width;
  const pixels = new Uint8Array(3 * area);
  for (let channel = 0; channel < 3; channel++) {
    pixels.fill(fill[channel], channel * area, (channel + 1) * area);
    for (let y = Math.max(0, -top); y < Math.min(full.height, image.height - top); y++) {
      for (let x = Math.max(0, -left); x < Math.min(full.width, image.width - left); x++) {
        pixels[channel * area + y * full.width + x] = image.data[((y + top) * image.width + x + left) * 3 + channel];
      }
    }
  }
  return pixels;
}
