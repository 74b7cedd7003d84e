// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Engine } from './engine';
import { EventGate } from './event-gate';
import { TrustedEvents } from './trusted-events';

describe('TrustedEvents', () => {
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

  it('shows every listener the same trusted object for a replay', () => {
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

  it("does not change the page's own events", () => {
    const listener = vi.fn();
    button.addEventListener('change', trust.wrap(listener));
    const event = new Event('change');
    button.dispatchEvent(event);
    expect(listener).toHaveBeenCalledWith(event);
  });

  it('shows the plain replay where the settings say so', () => {
    claims = false;
    const event = replay();
    expect(trust.asTrusted(event)).toBe(event);
  });

  it('lets listeners prevent, stop and mark the original event', () => {
    const event = replay();
    const shown = trust.asTrusted(event) as Event & { mark?: number };
    shown.preventDefault();
    shown.mark = 1;
    expect(event.defaultPrevented).toBe(true);
    expect((event as typeof shown).mark).toBe(1);
    expect(shown.preventDefault).toBe(shown.preventDefault);
    expect(trust.rawEvent(shown)).toBe(event);
  });

  it('always wraps a listener in the same function, so that duplicates and removals work', () => {
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
