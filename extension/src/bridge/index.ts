/** Bridge of one frame: receives holds from the page engine, has the photos protected, returns verdicts. */
import { browser } from 'wxt/browser';
import { packBlob } from '../blob-transfer';
import { acceptPort } from '../handshake';
import type { BackgroundToBridge, BridgeState, Decision, Hold, PageToBridge, Reply, Verdict } from '../messages';
import { fail, ok, TOO_LARGE } from '../problems';
import { protect } from '../protect';
import { sendRequest } from '../send-request';
import { sleep } from '../sleep';
import { isRecord } from '../validators';
import { HoldController } from './hold-controller';
import { JobPool } from './job-pool';
import { OverlayRouter } from './overlay-router';
import { PagePort } from './page-port';

/** Milliseconds before each retry of the request for this tab's state. */
const STATE_RETRY_DELAYS = [1000, 5000, 15_000];
/** Milliseconds that a hold waits for the state. After that it is protected, which is the safe choice. */
const STATE_TIMEOUT = 3000;

export function start(): void {
  const marked = globalThis as { antiI2VBridge?: true };
  if (marked.antiI2VBridge === true) return; // injected twice
  marked.antiI2VBridge = true;
  new Bridge().start();
}

class Bridge {
  private page: PagePort | null = null;
  private state: BridgeState | null = null;
  private readonly holds = new Map<string, HoldController>();
  private readonly opening = new Set<string>();
  private readonly jobPool = new JobPool(protect);
  private readonly overlay = new OverlayRouter((decision) => this.onDecision(decision));
  /** Hold ids are unique per frame; the prefix makes them unique in the tab, whose overlay shows all of them. */
  private readonly prefix = `${Math.random().toString(36).slice(2)} `;
  private noticeCount = 0;
  private stateKnown: Promise<void> | null = null;

  start(): void {
    acceptPort((port) => {
      this.page = new PagePort(port, (message) => void this.onPageMessage(message));
      if (this.state !== null) this.page.sendState(this.state);
    });
    browser.runtime.onMessage.addListener((message: unknown, sender, respond) => {
      // Only the background of this extension may send to its bridges.
      if (sender.id !== browser.runtime.id || !isRecord(message)) return false;
      void this.onBackgroundMessage(message as unknown as BackgroundToBridge).then(respond);
      return true;
    });
    window.addEventListener('pagehide', () => this.onPageHide());
    window.addEventListener('pageshow', ({ persisted }) => {
      if (persisted) this.stateKnown = this.refresh(false);
    });
    this.stateKnown = this.refresh(true);
  }

  private async refresh(fresh: boolean): Promise<void> {
    for (let tries = 0; ; tries++) {
      const reply = await sendRequest('state', { fresh });
      if (reply.ok) return this.setState(reply.value);
      const wait = STATE_RETRY_DELAYS[tries];
      if (wait === undefined || reply.problem.code === 'reload') return;
      await sleep(wait);
    }
  }

  private setState(state: BridgeState): void {
    this.state = state;
    this.page?.sendState(state);
  }

  private async onPageMessage(message: PageToBridge): Promise<void> {
    if (message.kind === 'hold') return this.openHold(message.hold);
    if (message.kind === 'drop') {
      this.opening.delete(message.hold);
      return this.holds.get(message.hold)?.drop();
    }
    const hold = `${this.prefix}notice ${++this.noticeCount}`;
    const site = this.state?.site ?? '';
    this.overlay.show(hold, { hold, surface: 'input', site, photos: [], notice: message.notice, holding: false });
  }

  private async openHold(hold: Hold): Promise<void> {
    if (this.holds.has(hold.id) || this.opening.has(hold.id)) return;
    this.opening.add(hold.id);
    if (this.state === null) await Promise.race([this.stateKnown, sleep(STATE_TIMEOUT)]);
    if (!this.opening.delete(hold.id)) return; // dropped while waiting
    if (this.state?.enabled === false || hold.photos.length === 0) return this.releaseOriginals(hold);
    const tabHoldId = this.prefix + hold.id;
    const held = new HoldController(hold, {
      tabHoldId,
      site: this.state?.site ?? '',
      jobPool: this.jobPool,
      overlay: this.overlay,
      verdict: (verdicts, settled) => {
        void sendRequest('settled', { photos: settled });
        this.page?.send({ kind: 'verdict', hold: hold.id, verdicts });
      },
      ended: () => this.holds.delete(hold.id),
    });
    this.holds.set(hold.id, held);
  }

  /** Protection is off on this site; the page engine held the photos because it did not know yet. */
  private releaseOriginals(hold: Hold): void {
    const verdicts = Object.fromEntries(hold.photos.map(({ id }): [string, Verdict] => [id, { kind: 'original' }]));
    this.page?.send({ kind: 'verdict', hold: hold.id, verdicts });
  }

  private async onBackgroundMessage(message: BackgroundToBridge): Promise<unknown> {
    switch (message.kind) {
      case 'state':
        this.setState(message.state);
        return true;
      case 'show':
        this.overlay.showRelayed(message);
        return true;
      case 'decide':
        this.onDecision(message.decision);
        return true;
      case 'bytes':
        return readBlobUrl(message.url, message.base64);
      case 'ping':
        return true;
    }
  }

  private onDecision({ hold, photo, choice }: Decision): void {
    this.holds.get(hold.slice(this.prefix.length))?.decide({ photo, choice });
  }

  /** The page is being left: drops all holds. */
  private onPageHide(): void {
    this.opening.clear();
    for (const held of this.holds.values()) held.drop();
    this.overlay.flush();
  }
}

/** Reads a blob: URL of this frame. */
async function readBlobUrl(url: string, base64: boolean): Promise<Reply<unknown>> {
  if (!url.startsWith('blob:')) return fail('internal', 'Not a blob: URL.');
  try {
    const packed = await packBlob(await (await fetch(url)).blob(), base64);
    return packed === undefined ? { ok: false, problem: TOO_LARGE } : ok(packed);
  } catch {
    return fail('gone', 'The page no longer has this image.');
  }
}
