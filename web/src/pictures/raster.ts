// What is a decoded picture here?

/** RGB, 8 bits a channel, row after row: data[(y * width + x) * 3 + channel]. */
export interface Raster {
  width: number;
  height: number;
  data: Uint8Array;
}
