/**
 * Our own overlay lies above the page and takes the focus while a photo is held. Sites look where a drop fell and where
 * the caret is, so a replay waits until the overlay is gone; not for long, as it may be the site's own doing.
 */
import { later } from './natives';

const PATIENCE = 1000;
const STEP = 16;

export async function untilReachable(reachable: () => boolean): Promise<void> {
  for (let waited = 0; waited < PATIENCE && !reachable(); waited += STEP) {
    await new Promise<void>((resolve) => {
      later(STEP, resolve);
    });
  }
}
