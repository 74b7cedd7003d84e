import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Engine } from './engine';
import { EventGate } from './event-gate';
import { TrustedEvents } from './trusted-events';

describe('Trust', () => {
  let claims: boolean;
  let gate: EventGate;
  let trust: TrustedEvents;
  let button: HTMLElement;
  beforeEach(() => {
    claims = true;
    gate = new EventGate(new Engine());
    trust = new TrustedEvents(gate, () => claims);
    button = document.createElement('button');
  });
  const replay = (): Event => {
    const event = new Event('change', { cancelable: true });
    gate.markReplay(event);
    return event;
  };

  it('shows a replay as trusted, the same object to every listener', () => {
    const seen: Event[] = [];
    button.addEventListener(
      'change',
      trust.wrap((event) => seen.push(event)),
    );
    button.addEventListener('change', trust.wrap({ handleEvent: (event: Event) => seen.push(event) }));
    button.dispatchEvent(replay());
    expect(seen).toHaveLength(2);
    expect(seen[0]).toBe(seen[1]);
    expect(seen[0]?.isTrusted).toBe(true);
    expect(seen[0]).toBeInstanceOf(Event);
    expect(seen[0]?.target).toBe(button);
    expect(seen[0]?.constructor).toBe(Event);
  });

  it("leaves the page's own events as they are", () => {
    const listener = vi.fn();
    button.addEventListener('change', trust.wrap(listener));
    const event = new Event('change');
    button.dispatchEvent(event);
    expect(listener).toHaveBeenCalledWith(event);
  });

  it('shows a replay as what it is where the person wants that', () => {
    claims = false;
    const event = replay();
    expect(trust.asTrusted(event)).toBe(event);
  });

  it('lets listeners prevent, stop and mark the event itself', () => {
    const event = replay();
    const shown = trust.asTrusted(event) as Event & { mark?: number };
    shown.preventDefault();
    shown.mark = 1;
    expect(event.defaultPrevented).toBe(true);
    expect((event as typeof shown).mark).toBe(1);
    expect(shown.preventDefault).toBe(shown.preventDefault);
    expect(trust.rawEvent(shown)).toBe(event);
  });

  it('wraps a listener always in the same function, so that doubles and removals are told', () => {
    const listener = vi.fn();
    button.addEventListener('change', trust.wrap(listener));
    button.addEventListener('change', trust.wrap(listener));
    button.dispatchEvent(replay());
    expect(listener).toHaveBeenCalledTimes(1);
    button.removeEventListener('change', trust.wrap(listener));
    button.dispatchEvent(replay());
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it('calls a function on the current target, and handleEvent on its object', () => {
    let receiver: unknown;
    button.addEventListener(
      'change',
      trust.wrap(function (this: unknown) {
        receiver = this;
      }),
    );
    button.dispatchEvent(replay());
    expect(receiver).toBe(button);
    const object = {
      handleEvent(this: unknown): void {
        receiver = this;
      },
    };
    const second = document.createElement('p');
    second.addEventListener('change', trust.wrap(object));
    second.dispatchEvent(replay());
    expect(receiver).toBe(object);
  });
});
