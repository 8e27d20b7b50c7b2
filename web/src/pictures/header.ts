// What kind of picture do these bytes begin, and how large will it be, before anything is decoded?

import { PageError } from "../errors.ts";

/** As the file states it, before EXIF turns it. frames: whether it may hold more than one. */
export interface Header {
  format: string;
  width: number;
  height: number;
  animated: boolean;
}

/** A larger picture is refused before its pixels are decoded: a browser's memory holds four bytes for each. */
export const MAX_PIXELS = 50_000_000;
/** Of a file, in bytes: what is read into memory before its header is looked at. */
export const MAX_BYTES = 64_000_000;

const ascii = (bytes: Uint8Array, at: number, length: number) =>
  String.fromCharCode(...bytes.subarray(at, at + length));
const big = (bytes: Uint8Array, at: number, length: number) => {
  let value = 0;
  for (let i = 0; i < length; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
};
const little = (bytes: Uint8Array, at: number, length: number) => {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
};

interface Format {
  name: string;
  begins: (bytes: Uint8Array) => boolean;
  /** undefined: the header is cut short. */
  read: (bytes: Uint8Array) => Omit<Header, "format"> | undefined;
}

const FORMATS: Format[] = [
  { name: "JPEG", begins: (b) => b[0] === 0xff && b[1] === 0xd8 && b[2] === 0xff, read: readJpeg },
  { name: "PNG", begins: (b) => ascii(b, 0, 8) === "\x89PNG\r\n\x1a\n", read: readPng },
  { name: "GIF", begins: (b) => /^GIF8[79]a/.test(ascii(b, 0, 6)), read: readGif },
  { name: "WebP", begins: (b) => ascii(b, 0, 4) === "RIFF" && ascii(b, 8, 4) === "WEBP", read: readWebp },
  {
    name: "BMP",
    begins: (b) => ascii(b, 0, 2) === "BM" && b.length > 26,
    read: (b) => ({ width: little(b, 18, 4), height: Math.abs(little(b, 22, 4) | 0), animated: false }),
  },
];

/** Formats that rapidnet predict reads and browsers do not. */
const ELSEWHERE: [RegExp, string][] = [
  [/^(II\*\0|MM\0\*)/, "TIFF"],
  [/^P[1-6]\s/, "PPM"],
];
const REFUSED: [RegExp, string][] = [
  [/^....ftyp(heic|heix|mif1|hevc)/s, "HEIC"],
  [/^....ftyp(avif|avis)/s, "AVIF"],
];

/** The header of a file called `name`. Throws PageError: no picture, an unknown kind, cut short, too many pixels. */
export function readHeader(bytes: Uint8Array, name: string, maxPixels = MAX_PIXELS): Header {
  if (bytes.length === 0) throw new PageError(`${name} is empty; choose another picture.`);
  const format = FORMATS.find(({ begins }) => begins(bytes));
  if (!format) throw refuse(bytes, name);
  const header = format.read(bytes);
  if (!header?.width || !header.height)
    throw new PageError(`${name} is damaged: its ${format.name} header is cut short; choose another picture.`);
  if (header.width * header.height > maxPixels) {
    const millions = Math.round(maxPixels / 1e6);
    throw new PageError(
      `${name} has ${header.width} x ${header.height} pixels, more than the ${millions} million this page decodes; make it smaller.`,
    );
  }
  return { format: format.name, ...header };
}

function refuse(bytes: Uint8Array, name: string): PageError {
  const start = ascii(bytes, 0, 64);
  const elsewhere = ELSEWHERE.find(([mark]) => mark.test(start));
  if (elsewhere)
    return new PageError(
      `${name} is a ${elsewhere[1]} file, which browsers do not open; use rapidnet predict, or save it as PNG.`,
    );
  const refused = REFUSED.find(([mark]) => mark.test(start));
  if (refused) return new PageError(`${name} is a ${refused[1]} file, which this page does not read; save it as JPEG.`);
  const kind = /^\s*(<!doctype|<html|<\?xml|<svg)/i.test(start)
    ? "it is a text of markup"
    : "it begins like none of JPEG, PNG, WebP, GIF and BMP";
  return new PageError(`${name} is not a picture: ${kind}; choose another file.`);
}

function readJpeg(bytes: Uint8Array): ReturnType<Format["read"]> {
  let at = 2;
  while (at + 9 < bytes.length) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1];
    if (marker === 0xff) at++;
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    // Start of frame, of any coding; C4, C8 and CC are none.
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { height: big(bytes, at + 5, 2), width: big(bytes, at + 7, 2), animated: false };
    } else at += 2 + big(bytes, at + 2, 2);
  }
  return undefined;
}

function readPng(bytes: Uint8Array): ReturnType<Format["read"]> {
  if (bytes.length < 33 || ascii(bytes, 12, 4) !== "IHDR") return undefined;
  let animated = false;
  for (let at = 8; at + 12 <= bytes.length; at += 12 + big(bytes, at, 4)) {
    const kind = ascii(bytes, at + 4, 4);
    animated ||= kind === "acTL" && big(bytes, at + 8, 4) > 1;
    if (kind === "IDAT") break;
  }
  return { width: big(bytes, 16, 4), height: big(bytes, 20, 4), animated };
}

function readGif(bytes: Uint8Array): ReturnType<Format["read"]> {
  if (bytes.length < 13) return undefined;
  const table = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let frames = 0;
  for (let at = 13 + table(bytes[10]); at < bytes.length && frames < 2; ) {
    const kind = bytes[at];
    if (kind === 0x2c) {
      frames++;
      at += 11 + table(bytes[at + 9]);
    } else if (kind === 0x21) at += 2;
    else break;
    while (bytes[at]) at += bytes[at] + 1;
    at++;
  }
  return { width: little(bytes, 6, 2), height: little(bytes, 8, 2), animated: frames > 1 };
}

function readWebp(bytes: Uint8Array): ReturnType<Format["read"]> {
  if (bytes.length < 30) return undefined;
  const kind = ascii(bytes, 12, 4);
  if (kind === "VP8X")
    return { width: little(bytes, 24, 3) + 1, height: little(bytes, 27, 3) + 1, animated: (bytes[20] & 2) > 0 };
  if (kind === "VP8L") {
    const packed = little(bytes, 21, 4);
    return { width: (packed & 0x3fff) + 1, height: ((packed >>> 14) & 0x3fff) + 1, animated: false };
  }
  return { width: little(bytes, 26, 2) & 0x3fff, height: little(bytes, 28, 2) & 0x3fff, animated: false };
}
