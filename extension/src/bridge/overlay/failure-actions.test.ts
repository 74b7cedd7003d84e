// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from 'vitest';
import { installMessages } from '../../testing/ui';
import { CONFIRM_DELAY, failureActions } from './failure-actions';

beforeEach(() => {
  installMessages();
  vi.useFakeTimers();
});

/** A click of the user; a script's click is not trusted. */
function press(button: Element | undefined, trusted = true): void {
  const event = new MouseEvent('click', { bubbles: true });
  Object.defineProperty(event, 'isTrusted', { value: trusted });
  button?.dispatchEvent(event);
}

function offered(changes: { photos?: number; retry?: boolean } = {}) {
  const choose = vi.fn();
  const box = failureActions({ photos: 1, retry: true, name: 'me.jpg', choose, ...changes });
  const button = (words: string): Element | undefined =>
    [...box.querySelectorAll('button')].find((each) => each.textContent === words);
  return { box, button, choose };
}

test('the original needs a second click, after a moment', () => {
  const { button, choose } = offered();
  press(button('Send the original…'));
  expect(choose).not.toHaveBeenCalled();
  press(button('Yes, send unprotected')); // the end of a double click
  expect(choose).not.toHaveBeenCalled();
  vi.advanceTimersByTime(CONFIRM_DELAY);
  press(button('Yes, send unprotected'));
  expect(choose.mock.calls).toEqual([['original']]);
});

test('scripts of a page cannot decide', () => {
  const { button, choose } = offered();
  press(button('Send nothing'), false);
  press(button('Send the original…'), false);
  expect(button('Yes, send unprotected')).toBeUndefined();
  press(button('Send the original…'));
  vi.advanceTimersByTime(CONFIRM_DELAY);
  press(button('Yes, send unprotected'), false);
  expect(choose).not.toHaveBeenCalled();
});

test('going back discards the question', () => {
  const { box, button, choose } = offered();
  press(button('Send the original…'));
  expect(box.textContent).toContain('The site will get your unprotected photo. Send it?');
  press(button('No, go back'));
  expect(box.textContent).not.toContain('unprotected');
  expect(choose).not.toHaveBeenCalled();
});

test('the first button is never the original', () => {
  expect(offered().box.querySelector('button')?.textContent).toBe('Try again');
  expect(offered({ retry: false }).box.querySelector('button')?.textContent).toBe('Send nothing');
});

test('several photos are counted in the question', () => {
  const { box, button } = offered({ photos: 3 });
  press(button('Send the 3 originals…'));
  expect(box.textContent).toContain('The site will get 3 unprotected photos.');
});
