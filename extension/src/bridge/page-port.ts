/**
 * Our end of the port to the page engine. Messages from it are checked, since a hostile page may have got hold of it.
 */
import * as v from 'valibot';
import { pageToBridgeSchema, type BridgeToPage, type PageState, type PageToBridge } from '../messages';

export class PagePort {
  constructor(
    private readonly port: MessagePort,
    onMessage: (message: PageToBridge) => void,
  ) {
    port.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (v.is(pageToBridgeSchema, data)) onMessage(data);
    };
  }

  /** Sends the state without `site`: a framed page must not learn the site of the top frame. */
  sendState({ enabled, trusted, others }: PageState): void {
    this.send({ kind: 'state', state: { enabled, trusted, others } });
  }

  send(message: BridgeToPage): void {
    this.port.postMessage(message);
  }
}
