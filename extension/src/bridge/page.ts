/** The page's end of the port: what comes from it is checked, since a hostile page may have got hold of it. */
import type { FromPage, PageState, ToPage } from '../messages';
import { blob, byTag, list, object, only, text, type Shape } from '../shape';

const id = text(200);
const name = text(4096);
const MOST = 2000;

const message: Shape<FromPage> = byTag('kind', {
  hold: object({
    hold: object({
      id,
      surface: only('input', 'drop', 'paste', 'clipboard', 'handle', 'network'),
      photos: list(object({ id, name, file: blob }), MOST),
    }),
  }),
  drop: object({ hold: id }),
  notice: object({ notice: only('vector', 'animation', 'posted-without', 'handle'), names: list(name, MOST) }),
});

export class Page {
  constructor(
    private readonly port: MessagePort,
    heard: (message: FromPage) => void,
  ) {
    port.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (message(data)) heard(data);
    };
  }

  /** Which site this is, a framed page does not learn from us. */
  state({ enabled, trusted, others }: PageState): void {
    this.tell({ kind: 'state', state: { enabled, trusted, others } });
  }

  tell(said: ToPage): void {
    this.port.postMessage(said);
  }
}
