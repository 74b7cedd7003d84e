/** The bridge of one frame: takes holds from the page, has their photos protected, gives verdicts. */
import { browser } from 'wxt/browser';
import { ask } from '../ask';
import { accept } from '../handshake';
import type { BridgeState, Decision, FromPage, Hold, Reply, ToBridge, Verdict } from '../messages';
import { pack } from '../payload';
import { no, ok, TOO_LARGE } from '../problems';
import { protect } from '../protect';
import { record } from '../shape';
import { Held } from './held';
import { Page } from './page';
import { Screen } from './screen';
import { Works } from './works';

/** Milliseconds before the background is asked again how this tab is to be treated. */
const AGAIN = [1000, 5000, 15_000];
/** Milliseconds that a hold waits for that; then it is protected, which is never wrong. */
const UNKNOWN = 3000;

export function start(): void {
  const marked = globalThis as { antiI2VBridge?: true };
  if (marked.antiI2VBridge === true) return; // injected a second time
  marked.antiI2VBridge = true;
  new Bridge().start();
}

class Bridge {
  private page: Page | null = null;
  private state: BridgeState | null = null;
  private readonly holds = new Map<string, Held>();
  private readonly opening = new Set<string>();
  private readonly works = new Works(protect);
  private readonly screen = new Screen((decision) => this.decided(decision));
  /** Holds are named per frame; the overlay shows those of a whole tab. */
  private readonly prefix = `${Math.random().toString(36).slice(2)} `;
  private notices = 0;
  private known: Promise<void> | null = null;

  start(): void {
    accept((port) => {
      this.page = new Page(port, (message) => void this.heard(message));
      if (this.state !== null) this.page.state(this.state);
    });
    browser.runtime.onMessage.addListener((message: unknown, sender, respond) => {
      // Nobody but the background sends to tabs, and nobody but us is our background.
      if (sender.id !== browser.runtime.id || !record(message)) return false;
      void this.told(message as unknown as ToBridge).then(respond);
      return true;
    });
    window.addEventListener('pagehide', () => this.leave());
    window.addEventListener('pageshow', ({ persisted }) => {
      if (persisted) this.known = this.refresh(false);
    });
    this.known = this.refresh(true);
  }

  private async refresh(fresh: boolean): Promise<void> {
    for (let tries = 0; ; tries++) {
      const reply = await ask('state', { fresh });
      if (reply.ok) return this.take(reply.value);
      const wait = AGAIN[tries];
      if (wait === undefined || reply.problem.code === 'reload') return;
      await pause(wait);
    }
  }

  private take(state: BridgeState): void {
    this.state = state;
    this.page?.state(state);
  }

  private async heard(message: FromPage): Promise<void> {
    if (message.kind === 'hold') return this.hold(message.hold);
    if (message.kind === 'drop') {
      this.opening.delete(message.hold);
      return this.holds.get(message.hold)?.drop();
    }
    const hold = `${this.prefix}notice ${++this.notices}`;
    const site = this.state?.site ?? '';
    this.screen.show(hold, { hold, surface: 'input', site, photos: [], notice: message.notice, holding: false });
  }

  private async hold(hold: Hold): Promise<void> {
    if (this.holds.has(hold.id) || this.opening.has(hold.id)) return;
    this.opening.add(hold.id);
    if (this.state === null) await Promise.race([this.known, pause(UNKNOWN)]);
    if (!this.opening.delete(hold.id)) return; // dropped meanwhile
    if (this.state?.enabled === false || hold.photos.length === 0) return this.letThrough(hold);
    const under = this.prefix + hold.id;
    const held = new Held(hold, {
      under,
      site: this.state?.site ?? '',
      works: this.works,
      screen: this.screen,
      verdict: (verdicts, settled) => {
        void ask('settled', { photos: settled });
        this.page?.tell({ kind: 'verdict', hold: hold.id, verdicts });
      },
      over: () => this.holds.delete(hold.id),
    });
    this.holds.set(hold.id, held);
  }

  /** Protection is off here; the page held it because it could not know yet. */
  private letThrough(hold: Hold): void {
    const verdicts = Object.fromEntries(hold.photos.map(({ id }): [string, Verdict] => [id, { kind: 'original' }]));
    this.page?.tell({ kind: 'verdict', hold: hold.id, verdicts });
  }

  private async told(message: ToBridge): Promise<unknown> {
    switch (message.kind) {
      case 'state':
        this.take(message.state);
        return true;
      case 'show':
        this.screen.relayed(message);
        return true;
      case 'decide':
        this.decided(message.decision);
        return true;
      case 'bytes':
        return bytes(message.url, message.base64);
      case 'ping':
        return true;
    }
  }

  private decided({ hold, photo, choice }: Decision): void {
    this.holds.get(hold.slice(this.prefix.length))?.decide({ photo, choice });
  }

  /** The page goes away, and with it what waited. */
  private leave(): void {
    this.opening.clear();
    for (const held of this.holds.values()) held.drop();
    this.screen.flush();
  }
}

/** A blob: URL that this frame shows. */
async function bytes(url: string, base64: boolean): Promise<Reply<unknown>> {
  if (!url.startsWith('blob:')) return no('internal', 'Only this frame reads its blob: URLs.');
  try {
    const packed = await pack(await (await fetch(url)).blob(), base64);
    return packed === undefined ? { ok: false, problem: TOO_LARGE } : ok(packed);
  } catch {
    return no('gone', 'The page no longer has this image.');
  }
}

const pause = (wait: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, wait));
