/** The page's end of the port: what comes from it is checked, since a hostile page may have got hold of it. */
import type { PageToBridge, PageState, BridgeToPage } from '../messages';
import { blob, byTag, list, object, only, text, type Shape } from '../validators';

const id = text(200);
const name = text(4096);
const MAX_ITEMS = 2000;

const message: Shape<PageToBridge> = byTag('kind', {
  hold: object({
    hold: object({
      id,
      surface: only('input', 'drop', 'paste', 'clipboard', 'handle', 'network'),
      photos: list(object({ id, name, file: blob }), MAX_ITEMS),
    }),
  }),
  drop: object({ hold: id }),
  notice: object({ notice: only('vector', 'animation', 'posted-without', 'handle'), names: list(name, MAX_ITEMS) }),
});

export class PagePort {
  constructor(
    private readonly port: MessagePort,
    heard: (message: PageToBridge) => void,
  ) {
    port.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (message(data)) heard(data);
    };
  }

  /** Which site this is, a framed page does not learn from us. */
  sendState({ enabled, trusted, others }: PageState): void {
    this.send({ kind: 'state', state: { enabled, trusted, others } });
  }

  send(said: BridgeToPage): void {
    this.port.postMessage(said);
  }
}
