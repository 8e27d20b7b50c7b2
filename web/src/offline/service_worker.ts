// What stands between the page and the network? It keeps the page and the cards, adds the isolation headers that static
// hosts do not send, and lets nothing but GET requests to the page's own server through.

/// <reference lib="webworker" />
export {};

declare const self: ServiceWorkerGlobalScope;

// Both are filled in when the page is built.
const FILES: string[] = __FILES__;
const SHELL = `rapidnet-shell-${__PAGE_VERSION__}`;
const CARDS = "rapidnet-cards";
const BUNDLES = "rapidnet-bundles";

const HEADERS: Record<string, string> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": `${__CSP__}; frame-ancestors 'none'`,
};

const scope = new URL(self.registration.scope);
const pages = [scope.pathname, `${scope.pathname}index.html`];

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(SHELL).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })))),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(clearOld().then(() => self.clients.claim()));
});

self.addEventListener("message", (event) => {
  if (event.data === "take over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  // Other pages of the same server, such as its documentation, are no business of this worker.
  if (event.request.mode === "navigate" && !pages.includes(url.pathname)) return;
  event.respondWith(answer(event));
});

async function clearOld(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("rapidnet-") && ![SHELL, CARDS, BUNDLES].includes(name));
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer({ request, clientId }: FetchEvent): Promise<Response> {
  const client = await self.clients.get(clientId);
  const foreign = client?.type === "window" && !pages.includes(new URL(client.url).pathname);
  if (foreign) return fetch(request);
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.origin) return Response.error();
  const path = url.pathname.slice(scope.pathname.length);
  if (request.mode === "navigate") return isolate((await fromShell("index.html")) ?? (await fetch(request)));
  const kept = await fromShell(path);
  if (kept) return isolate(kept);
  if (/^bundles\/(index\.json|.*card\.json)$/.test(path)) return isolate(await newest(request));
  const response = await fetch(request);
  // What is loaded only when asked for, such as WebGPU's engine, is kept from then on.
  if (response.ok && path.startsWith("assets/")) await (await caches.open(SHELL)).put(request, response.clone());
  return isolate(response);
}

async function fromShell(path: string): Promise<Response | undefined> {
  return (await caches.open(SHELL)).match(new URL(path || "index.html", scope).href, { ignoreVary: true });
}

/** From the server; without it, as it was last. */
async function newest(request: Request): Promise<Response> {
  const cache = await caches.open(CARDS);
  try {
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}

function isolate(response: Response): Response {
  if (response.type === "error" || response.type === "opaque") return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
