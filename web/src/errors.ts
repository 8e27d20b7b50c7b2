// What went wrong that the user can mend, in one sentence?

/** Its message is shown as it is: what was wrong, where, what to do. */
export class PageError extends Error {
  override name = "PageError";
}

/** The sentence to show for anything thrown. */
export function explain(error: unknown): string {
  if (error instanceof PageError) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  return `Something went wrong that this page did not expect: ${text}`;
}
