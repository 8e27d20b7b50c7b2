// Which colour has a class? The one it has in every picture that rapidnet draws (rapidnet.evaluation.dense_colors).

import { roundHalfEven } from "../pictures/prepare.ts";

export type Color = [red: number, green: number, blue: number];

// matplotlib's tab20: the strong ones first, then their pale companions.
const TAB20 =
  "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2 7f7f7f bcbd22 17becf " +
  "aec7e8 ffbb78 98df8a ff9896 c5b0d5 c49c94 f7b6d2 c7c7c7 dbdb8d 9edae5";
const NAMED: Color[] = TAB20.split(" ").map(
  (hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as Color,
);
const GOLDEN = 0.618034;
const TONES: [saturation: number, value: number][] = [
  [0.75, 0.95],
  [0.55, 0.75],
  [0.95, 0.7],
];

export function pickColor(index: number): Color {
  if (index < NAMED.length) return NAMED[index];
  const place = index - NAMED.length;
  return fromHsv((0.02 + place * GOLDEN) % 1, ...TONES[place % 3]);
}

/** All from 0 to 1, to RGB of 8 bits. */
function fromHsv(hue: number, saturation: number, value: number): Color {
  const sector = Math.trunc(hue * 6);
  const rest = hue * 6 - sector;
  const low = value * (1 - saturation);
  const falling = value * (1 - saturation * rest);
  const rising = value * (1 - saturation * (1 - rest));
  const sectors = [
    [value, rising, low],
    [falling, value, low],
    [low, value, rising],
    [low, falling, value],
    [rising, low, value],
    [value, low, falling],
  ];
  return sectors[sector % 6].map((part) => roundHalfEven(part * 255)) as Color;
}

/** Black or white, whichever is easier to read on a colour (relative luminance, WCAG 2). */
export function inkOn([red, green, blue]: Color): string {
  const linear = [red, green, blue].map((part) => (part <= 10 ? part / 3295 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 ? "#000" : "#fff";
}
