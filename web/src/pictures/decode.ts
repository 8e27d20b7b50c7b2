// How does a file or a frame of the camera become upright RGB pixels, within bounds?

import { PageError } from "../errors.ts";
import { MAX_BYTES, readHeader } from "./header.ts";
import type { Raster } from "./raster.ts";

/** note: what was done that the user may not expect, such as taking the first frame. */
export interface Decoded {
  bitmap: ImageBitmap;
  note: string;
}

// Some browsers refuse larger canvases, and it bounds the memory beside the pixels.
const STRIP_PIXELS = 4_000_000;

/** Decode a file. Colours stay as stored, as Pillow reads them, and EXIF turns the picture. Throws PageError. */
export async function decodeFile(file: Blob, name: string): Promise<Decoded> {
  if (file.size > MAX_BYTES)
    throw new PageError(
      `${name} has ${Math.round(file.size / 1e6)} MB, more than the ${MAX_BYTES / 1e6} this page reads; make it smaller.`,
    );
  const header = readHeader(new Uint8Array(await file.arrayBuffer()), name);
  try {
    const bitmap = await createImageBitmap(file, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
      imageOrientation: "from-image",
    });
    return { bitmap, note: header.animated ? `${name} is animated: only its first frame was looked at.` : "" };
  } catch {
    throw new PageError(
      `${name} is damaged: it begins as ${header.format}, but its pixels cannot be read; choose another picture.`,
    );
  }
}

/** The pixels of a bitmap; transparent parts become white, as everywhere in rapidnet. */
export function readPixels(bitmap: ImageBitmap): Raster {
  const { width, height } = bitmap;
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP_PIXELS / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  if (!context) throw new PageError("This browser gives the page no canvas to decode pictures on; restart it.");
  const data = new Uint8Array(width * height * 3);
  for (let top = 0, to = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, count);
    context.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
    const rgba = context.getImageData(0, 0, width, count).data;
    for (let from = 0; from < rgba.length; from += 4) {
      data[to++] = rgba[from];
      data[to++] = rgba[from + 1];
      data[to++] = rgba[from + 2];
    }
  }
  return { width, height, data };
}
