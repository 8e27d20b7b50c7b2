// How are elements made and found, without markup in strings?

type Child = Node | string | undefined;

/** An element with properties set and children in it; `class` names its classes. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> & { class?: string } = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const { class: names, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  if (names) element.className = names;
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** The element with this id, of this kind; the page has it. */
export function find<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** A table with a caption; the first column heads its row. Cells are texts, or elements. */
export function makeTable(caption: string, columns: string[], rows: (string | HTMLElement)[][]): HTMLElement {
  const head = make("tr", {}, ...columns.map((text) => (text ? make("th", { scope: "col" }, text) : make("td"))));
  const lines = rows.map(([first, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...cells.map((cell) => make("td", {}, cell))),
  );
  const table = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...lines));
  return make("div", { class: "scroll" }, table);
}

export function formatMs(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value)} ms`;
}

export function formatShare(share: number): string {
  return `${(100 * share).toFixed(share < 0.0995 || share > 0.9995 ? 2 : 1)}%`;
}
