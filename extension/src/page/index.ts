/** Starts the page engine in its frame, before any script of the site. */
import { offer } from '../handshake';
import { type Realm } from './natives';
import { Page } from './realm';

export function start(): void {
  const page = new Page();
  if (!page.install(window as Realm)) return;
  offer((port) => {
    page.engine.connect(port);
  });
}
