// Is the page ready to be used without a network, and is there a newer one?

import { holdsAll } from "../bundle/stored.ts";
import { find } from "../ui/dom.ts";

const pill = find("offline", HTMLParagraphElement);
const update = find("update", HTMLButtonElement);

const RELOADED = "rapidnet-reloaded";
/** Longest wait for the service worker before the page goes on without isolation, in milliseconds. */
const PATIENCE = 60_000;

/**
 * Register the service worker. Where the server sends no isolation headers, the page is loaded once more through the
 * worker, which adds them; then this never returns.
 */
export async function startOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) {
    showPill("Online only", false);
    return;
  }
  const workers = navigator.serviceWorker;
  try {
    const registration = await workers.register("sw.js");
    watchUpdates(registration);
  } catch {
    showPill("Online only", false);
    return;
  }
  if (crossOriginIsolated || sessionStorage.getItem(RELOADED)) return;
  showPill("Preparing…", false);
  const controlled = workers.controller
    ? Promise.resolve()
    : new Promise((resolve) => workers.addEventListener("controllerchange", resolve, { once: true }));
  const waited = new Promise((resolve) => setTimeout(resolve, PATIENCE, "late"));
  if ((await Promise.race([controlled, waited])) === "late") return;
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
  await new Promise(() => {});
}

/** Say whether the page and the open bundle would be there without a network. */
export async function showOffline(hashes: string[]): Promise<void> {
  if (!navigator.serviceWorker) return;
  const patience = new Promise<undefined>((resolve) => setTimeout(resolve, PATIENCE, undefined));
  const registration = await Promise.race([navigator.serviceWorker.ready, patience]);
  if (!registration) return;
  const kept = await holdsAll(hashes);
  showPill(kept ? "Ready offline" : "Page ready offline", kept);
}

function showPill(text: string, good: boolean): void {
  pill.hidden = false;
  pill.textContent = text;
  pill.classList.toggle("good", good);
}

function watchUpdates(registration: ServiceWorkerRegistration): void {
  const offer = () => {
    if (!registration.waiting || !navigator.serviceWorker.controller) return;
    update.hidden = false;
    update.onclick = () => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      registration.waiting?.postMessage("take over");
    };
  };
  offer();
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", offer));
}
