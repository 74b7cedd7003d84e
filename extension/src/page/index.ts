/** Starts the page engine in its frame, before any script of the site runs. */
import { offerPort } from '../handshake';
import { Installer } from './install';
import type { Realm } from './primordials';

export function start(): void {
  const installer = new Installer();
  if (!installer.install(window as Realm)) return;
  offerPort((port) => {
    installer.engine.connect(port);
  });
}
