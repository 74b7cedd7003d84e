import { expect, test } from 'vitest';
import { parsePairingLink } from './pairing-link';

test.each([
  ['http://127.0.0.1:8765/#code=ABCD-EFGH', { address: 'http://127.0.0.1:8765', code: 'ABCD-EFGH' }],
  [' https://photos.lan/#code=A ', { address: 'https://photos.lan', code: 'A' }],
  ['ABCD-EFGH', null],
  ['http://127.0.0.1:8765/', null],
  ['javascript:1#code=A', null],
])('a pasted pairing link %s', (pasted, parts) => expect(parsePairingLink(pasted)).toEqual(parts));
