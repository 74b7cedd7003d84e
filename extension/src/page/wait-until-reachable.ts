/**
 * Waits until our overlay no longer covers the page. While a photo is held, the overlay covers the page and has the
 * focus, but sites look at the place of a drop and at the caret, so a replay waits. The wait is short: the site itself
 * may be what covers the place.
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
