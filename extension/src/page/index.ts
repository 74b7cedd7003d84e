/** Starts the page engine in its frame, before any script of the site. */
import { offerPort } from '../handshake';
import { type Realm } from './primordials';
import { Installer } from './install';

export function start(): void {
  const page = new Installer();
  if (!page.install(window as Realm)) return;
  offerPort((port) => {
    page.engine.connect(port);
  });
}
