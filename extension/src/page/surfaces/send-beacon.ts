/**
 * `navigator.sendBeacon`: returns at once whether the data was queued. A body with an unknown photo is queued here
 * until the photo is protected, and is lost if the page goes away first.
 */
import { apply, type Realm } from '../primordials';
import { shimMethod } from '../shims';
import type { RequestBodies } from './request-bodies';

export function guardSendBeacon(bodies: RequestBodies, realm: Realm): void {
  shimMethod(realm.Navigator.prototype, 'sendBeacon', (native, self, args) => {
    const [address, body] = args;
    if (bodies.isClear(body)) return apply(native, self, args);
    void bodies.settle(body).settled.then((outcome) => {
      if (outcome !== null) apply(native, self, [address, outcome.body]);
    });
    return true;
  });
}
