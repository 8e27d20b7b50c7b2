// What do screen readers say when something happened, and what is shown when it went wrong?

import { explain } from "../errors.ts";
import { find } from "./dom.ts";

/** Say it politely; the same text twice is said once. */
export function announce(text: string): void {
  find("live", HTMLParagraphElement).textContent = text;
}

/** Show a problem until the next picture, or hide it with undefined. */
export function showProblem(error: unknown): void {
  const place = find("problem", HTMLParagraphElement);
  place.hidden = error === undefined;
  place.textContent = error === undefined ? "" : explain(error);
}
