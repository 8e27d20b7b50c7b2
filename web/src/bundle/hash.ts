// What is the SHA-256 of these bytes? A page over plain http has no crypto.subtle, and computes it itself.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** In hexadecimal, lower case. */
export async function computeHash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (globalThis.crypto?.subtle) return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  return bytesToHex(sha256(bytes));
}
