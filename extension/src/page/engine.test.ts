// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { PageToBridge, PageState, BridgeToPage, Verdict } from '../messages';
import { Engine } from './engine';

// Real ports and real Blobs: those of happy-dom do not clone each other.
await vi.hoisted(async () => {
  const { MessageChannel, MessagePort } = await import('node:worker_threads');
  const { Blob, File } = await import('node:buffer');
  Object.assign(globalThis, { MessageChannel, MessagePort, Blob, File });
});

const JPEG = [0xff, 0xd8, 0xff, 0xe0];
const photo = (seed: number, name = 'a.jpg'): File =>
  new File([Uint8Array.from({ length: 5000 }, (_, at) => JPEG[at] ?? (at * seed) & 255)], name, {
    type: 'image/jpeg',
    lastModified: 5,
  });
const ON: PageState = { enabled: true, trusted: true, others: 'pass' };

/** The bridge's end of the port. */
class Bridge {
  readonly heard: PageToBridge[] = [];
  readonly #port: MessagePort;

  constructor(engine: Engine, state: PageState | null = ON) {
    const channel = new MessageChannel();
    this.#port = channel.port2;
    channel.port2.onmessage = (event) => this.heard.push(event.data as PageToBridge);
    engine.connect(channel.port1);
    if (state !== null) this.say({ kind: 'state', state });
  }
  say(message: BridgeToPage): void {
    this.#port.postMessage(message);
  }
  get holds(): (PageToBridge & { kind: 'hold' })[] {
    return this.heard.filter((message) => message.kind === 'hold');
  }
  async held(count = 1): Promise<void> {
    await vi.waitFor(() => {
      expect(this.holds).toHaveLength(count);
    });
  }
  /** The same verdict on every photo of the hold. */
  decide(at: number, verdict: Verdict): void {
    const { hold } = this.holds[at] as PageToBridge & { kind: 'hold' };
    this.say({
      kind: 'verdict',
      hold: hold.id,
      verdicts: Object.fromEntries(hold.photos.map(({ id }) => [id, verdict])),
    });
  }
}

const settledState = async (engine: Engine): Promise<void> => {
  await vi.waitFor(() => {
    expect(engine.claimsTrust).toBe(true);
  });
};

describe('Engine', () => {
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });

  it('gives the protected photo under the name, type and time of the original', async () => {
    const bridge = new Bridge(engine);
    const { outcomes } = engine.settle('input', [photo(3, 'my holiday.jpg')]);
    await bridge.held();
    bridge.decide(0, { kind: 'protected', file: new Blob(['protected']) });
    const [file] = (await outcomes) as [File];
    expect([file.name, file.type, file.lastModified]).toEqual(['my holiday.jpg', 'image/jpeg', 5]);
    expect(await file.text()).toBe('protected');
  });

  it('gives nothing if the verdict says so, lacks the photo, or is empty', async () => {
    const bridge = new Bridge(engine);
    const all = [3, 5, 7].map((seed) => engine.settle('input', [photo(seed)]).outcomes);
    await bridge.held(3);
    bridge.decide(0, { kind: 'nothing' });
    bridge.say({ kind: 'verdict', hold: bridge.holds[1]?.hold.id ?? '', verdicts: {} });
    bridge.decide(2, { kind: 'protected', file: new Blob([]) });
    expect(await Promise.all(all)).toEqual([[null], [null], [null]]);
  });

  it('returns other files as the same objects, and holds the photo between them', async () => {
    const bridge = new Bridge(engine);
    const text = new File(['x'.repeat(100)], 'lies.jpg', { type: 'image/jpeg' });
    const { outcomes } = engine.settle('input', [text, photo(3), text]);
    await bridge.held();
    bridge.decide(0, { kind: 'original' });
    const given = await outcomes;
    expect([given[0], given[2]]).toEqual([text, text]);
    expect(bridge.holds[0]?.hold.photos).toHaveLength(1);
  });

  it('holds a photo once if it is picked twice at the same time, and not again later', async () => {
    const bridge = new Bridge(engine);
    const first = engine.settle('input', [photo(3, 'one.jpg'), photo(3, 'two.jpg')]).outcomes;
    const second = engine.settle('drop', [photo(3, 'three.jpg')]).outcomes;
    await bridge.held();
    bridge.decide(0, { kind: 'protected', file: new Blob(['protected']) });
    const names = [...(await first), ...(await second)].map((file) => (file as File).name);
    expect(names).toEqual(['one.jpg', 'two.jpg', 'three.jpg']);
    const [again] = await engine.settle('paste', [photo(3, 'four.jpg')]).outcomes;
    expect((again as File).name).toBe('four.jpg');
    expect(bridge.holds).toHaveLength(1);
  });

  it('holds a photo again that the user released once', async () => {
    const bridge = new Bridge(engine);
    const first = engine.settle('input', [photo(3)]).outcomes;
    await bridge.held();
    bridge.decide(0, { kind: 'original' });
    await first;
    void engine.settle('input', [photo(3)]);
    await bridge.held(2);
  });

  it('passes a protected photo that the user picks again', async () => {
    const bridge = new Bridge(engine);
    const { outcomes } = engine.settle('input', [photo(3)]);
    await bridge.held();
    bridge.decide(0, { kind: 'protected', file: photo(5) });
    await outcomes;
    const saved = photo(5, 'saved.jpg');
    expect(await engine.settle('input', [saved]).outcomes).toEqual([saved]);
  });

  it('holds before the state arrives, and releases the photo if protection is off', async () => {
    const bridge = new Bridge(engine, null);
    const file = photo(3);
    const { outcomes } = engine.settle('input', [file]);
    expect(engine.isOff).toBe(false);
    await bridge.held();
    bridge.say({ kind: 'state', state: { ...ON, enabled: false } });
    expect(await outcomes).toEqual([file]);
    expect(engine.isOff).toBe(true);
  });

  it('gives nothing if no bridge ever connects', async () => {
    engine = new Engine(50);
    const { outcomes } = engine.settle('input', [photo(3)]);
    expect(await outcomes).toEqual([null]);
    expect(await engine.settle('input', [photo(5)]).outcomes).toEqual([null]);
  });

  it('tells the bridge when the last pick of a photo is dropped', async () => {
    const bridge = new Bridge(engine);
    const first = engine.settle('input', [photo(3)]);
    const second = engine.settle('input', [photo(3)]);
    await bridge.held();
    first.drop();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(bridge.heard.filter(({ kind }) => kind === 'drop')).toHaveLength(0);
    second.drop();
    expect(await second.outcomes).toEqual([null]);
    await vi.waitFor(() => {
      expect(bridge.heard.filter(({ kind }) => kind === 'drop')).toHaveLength(1);
    });
  });

  it('makes one hold of files that a site reads one by one', async () => {
    const bridge = new Bridge(engine);
    const all = [3, 5, 7].map((seed) => engine.settleOne('handle', photo(seed, `${String(seed)}.jpg`)));
    await bridge.held();
    bridge.decide(0, { kind: 'protected', file: new Blob(['protected']) });
    expect((await Promise.all(all)).map((file) => (file as File).name)).toEqual(['3.jpg', '5.jpg', '7.jpg']);
  });

  it('does not protect a part of a photo', async () => {
    const bridge = new Bridge(engine);
    await settledState(engine);
    const whole = photo(3);
    const part = whole.slice(0, 4500);
    engine.allowedBytes.inherit(part, whole);
    expect(await engine.settle('network', [part]).outcomes).toEqual([null]);
    expect(bridge.holds).toHaveLength(0);
  });
});
