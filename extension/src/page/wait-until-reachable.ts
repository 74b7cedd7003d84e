/**
 * Waits until our overlay no longer covers the page. While a photo is held, the overlay covers the page and has the
 * focus, but sites check the element under a drop and the caret, so a replay waits. The wait is short: an element of
 * the site itself may cover the target.
 */
import { setTimer } from './primordials';

const TIMEOUT = 1000;
const POLL_INTERVAL = 16;

export async function waitUntilReachable(reachable: () => boolean): Promise<void> {
  for (let waited = 0; waited < TIMEOUT && !reachable(); waited += POLL_INTERVAL) {
    await new Promise<void>((resolve) => {
      setTimer(POLL_INTERVAL, resolve);
    });
  }
}
