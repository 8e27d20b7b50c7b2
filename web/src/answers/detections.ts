// Which boxes of a detector's raw answers are its detections? Equal to rapidnet.runtimes.detections, to the last bit.

/** boxes: [N x 4] (left, top, right, bottom); scores [N], the best first; labels [N] from 0 on. */
export interface Detections {
  boxes: Float32Array;
  scores: Float32Array;
  labels: Int32Array;
}

export interface Limits {
  score_threshold: number;
  iou_threshold: number;
  candidates: number;
  detections: number;
}

/** Among boxes [A x 4] with the scores [A x classes]: those above the threshold that no better one of their class covers. */
export function selectDetections(
  boxes: Float32Array,
  scores: Float32Array,
  classes: number,
  limits: Limits,
): Detections {
  const above: number[] = [];
  for (let i = 0; i < scores.length; i++) if (scores[i] > limits.score_threshold) above.push(i);
  // Array.sort is stable: of equal scores the earlier box is the better one.
  const best = above.sort((a, b) => scores[b] - scores[a]).slice(0, limits.candidates);
  const chosen = new Float32Array(best.length * 4);
  for (const [to, from] of best.entries()) {
    const box = Math.floor(from / classes) * 4;
    chosen.set(boxes.subarray(box, box + 4), to * 4);
  }
  const labels = Int32Array.from(best, (index) => index % classes);
  const kept = suppress(chosen, labels, limits.iou_threshold).slice(0, limits.detections);
  return {
    boxes: Float32Array.from(kept.flatMap((i) => [...chosen.subarray(i * 4, i * 4 + 4)])),
    scores: Float32Array.from(kept, (i) => scores[best[i]]),
    labels: Int32Array.from(kept, (i) => labels[i]),
  };
}

const round = Math.fround;

/** Non-maximum suppression class by class of boxes [K x 4], the best first -> the numbers of those that stay. */
export function suppress(boxes: Float32Array, labels: Int32Array, threshold: number): number[] {
  const areas = new Float32Array(labels.length);
  for (let i = 0; i < areas.length; i++) {
    areas[i] = round(boxes[i * 4 + 2] - boxes[i * 4]) * round(boxes[i * 4 + 3] - boxes[i * 4 + 1]);
  }
  const gone = new Uint8Array(labels.length);
  const kept: number[] = [];
  for (let i = 0; i < labels.length; i++) {
    if (gone[i]) continue;
    kept.push(i);
    for (let k = i + 1; k < labels.length; k++) {
      if (!gone[k] && labels[k] === labels[i] && overlap(boxes, areas, i, k) > threshold) gone[k] = 1;
    }
  }
  return kept;
}

/** Intersection over union in single precision, as numpy computes it; not a number for boxes without an area. */
function overlap(boxes: Float32Array, areas: Float32Array, a: number, b: number): number {
  const across = round(Math.min(boxes[a * 4 + 2], boxes[b * 4 + 2]) - Math.max(boxes[a * 4], boxes[b * 4]));
  const down = round(Math.min(boxes[a * 4 + 3], boxes[b * 4 + 3]) - Math.max(boxes[a * 4 + 1], boxes[b * 4 + 1]));
  const common = round(Math.max(across, 0) * Math.max(down, 0));
  return round(common / round(round(areas[a] + areas[b]) - common));
}
