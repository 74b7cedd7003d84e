import { expect, test } from 'vitest';
import { savedName } from './saved-name';

test.each([
  ['me.jpg', 'image/jpeg', 'me.protected.jpg'],
  ['me.JPEG', 'image/jpeg', 'me.protected.JPEG'],
  ['me.heic', 'image/jpeg', 'me.protected.jpg'],
  ['', 'image/png', 'photo.protected.png'],
  ['image', 'image/webp', 'image.protected.webp'],
])('%s as %s is saved as %s', (name, type, saved) => expect(savedName(name, type)).toBe(saved));
