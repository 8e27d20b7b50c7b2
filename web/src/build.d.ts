// What does the build fill in? See vite.config.ts.

declare const __PAGE_VERSION__: string;
/** Format -> name and version of what runs it. */
declare const __RUNTIMES__: Record<string, string>;
declare const __CSP__: string;
declare const __FILES__: string[];
