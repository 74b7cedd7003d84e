/**
 * Our own overlay lies above the page and takes the focus while a photo is held. Sites look where a drop fell and where
 * the caret is, so a replay waits until the overlay is gone; not for long, as it may be the site's own doing.
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
