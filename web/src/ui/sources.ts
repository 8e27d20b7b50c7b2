// Where do pictures come from: a file chosen, taken, dropped or pasted, or a sample; and bundles, which come likewise?

import type { BundleSource } from "../bundle/files.ts";
import { findBundles } from "../bundle/files.ts";
import { PageError } from "../errors.ts";
import { find, make } from "./dom.ts";

/** What is done with what comes in. */
export interface Receivers {
  /** sample: the button of one that came with the page. */
  picture(file: Blob, name: string, sample?: HTMLElement): void;
  bundles(sources: BundleSource[]): void;
  problem(error: unknown): void;
}

const SAMPLES = [
  { file: "four", about: "A handwritten digit on a photograph" },
  { file: "two", about: "Another handwritten digit" },
  { file: "several", about: "Several digits on a photograph" },
  { file: "coffee", about: "Digits on a cup of coffee" },
  { file: "cat", about: "A cat" },
];

type PathFile = { path: string; file: File };

/** Take in files: a bundle where there is a card among them, otherwise the first as a picture. */
function receive(files: PathFile[], receivers: Receivers): void {
  const bundles = findBundles(files);
  if (bundles.length > 0) receivers.bundles(bundles);
  else if (files.length > 0) receivers.picture(files[0].file, files[0].file.name || "the picture");
  else receivers.problem(new PageError("There was no file in it; drop a picture, or a bundle's folder."));
}

const listFiles = (files: Iterable<File>): PathFile[] =>
  [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

/** The files in what was dropped, those in folders among them. */
async function readDropped(transfer: DataTransfer): Promise<PathFile[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const plain = listFiles(transfer.files);
  if (!entries.some((entry) => entry.isDirectory)) return plain;
  return (await Promise.all(entries.map(readEntry))).flat();
}

async function readEntry(entry: FileSystemEntry): Promise<PathFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    // A folder is told in portions.
    const portion = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (portion.length === 0) break;
    found.push(...portion);
  }
  return (await Promise.all(found.map(readEntry))).flat();
}

export function listenForFiles(receivers: Receivers): void {
  for (const id of ["file", "shot", "folder", "files"]) {
    const input = find(id, HTMLInputElement);
    input.onchange = () => {
      const files = listFiles(input.files ?? []);
      if (files.length > 0) receive(files, receivers);
      // The same file may be chosen again.
      input.value = "";
    };
  }
  const stage = find("stage", HTMLDivElement);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) stage.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    if (event.dataTransfer)
      readDropped(event.dataTransfer).then((files) => receive(files, receivers), receivers.problem);
  });
  document.addEventListener("paste", (event) => {
    const files = listFiles(event.clipboardData?.files ?? []);
    if (files.length > 0) receive(files, receivers);
    else receivers.problem(new PageError("There is no picture in the clipboard; copy one, not its address."));
  });
}

const fetchSample = async (file: string) => (await fetch(`samples/${file}.jpg`)).blob();

/** The row of samples, each a button. */
export function showSamples(receivers: Receivers): void {
  const items = SAMPLES.map(({ file, about }) => {
    const button = make(
      "button",
      { type: "button", ariaPressed: "false" },
      make("img", { src: `samples/${file}.jpg`, alt: about, width: 72, height: 72 }),
    );
    button.onclick = () =>
      fetchSample(file).then((blob) => receivers.picture(blob, `${file}.jpg`, button), receivers.problem);
    return make("li", {}, button);
  });
  find("samples", HTMLUListElement).replaceChildren(...items);
}

/** Mark the sample that is on the stage; none without one. */
export function markSample(chosen?: HTMLElement): void {
  for (const button of document.querySelectorAll("#samples button")) button.ariaPressed = String(button === chosen);
}

/** A picture that is always at hand. */
export const fetchFirstSample = () => fetchSample(SAMPLES[2].file);
