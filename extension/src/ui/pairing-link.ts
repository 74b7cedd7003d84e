/** The pairing link that the server prints in its terminal. */

interface PairingLink {
  address: string;
  code: string;
}

/** "http://127.0.0.1:8765/#code=ABCD-EFGH" -> address and code; null for anything else. */
export function parsePairingLink(pasted: string): PairingLink | null {
  try {
    const { origin, protocol, hash } = new URL(pasted.trim());
    const code = new URLSearchParams(hash.slice(1)).get('code');
    return (protocol === 'http:' || protocol === 'https:') && code ? { address: origin, code } : null;
  } catch {
    return null;
  }
}
