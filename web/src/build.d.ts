// What does the build fill in? See vite.config.ts.

declare const __PAGE_VERSION__: string;
declare const __RUNTIME__: string;
declare const __CSP__: string;
declare const __FILES__: string[];
