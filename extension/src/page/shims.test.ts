// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { Realm } from './primordials';
import { shimConstructor, shimGetter, shimMethod, shimSetter } from './shims';

describe('shims', () => {
  it('keep name, length and errors of the original', () => {
    const owner = {
      act(first: number, second: number): number {
        if (second === 0) throw new RangeError('zero');
        return first / second;
      },
    };
    shimMethod(owner, 'act', (native, self, args) => Reflect.apply(native, self, args) as unknown);
    expect([owner.act.name, owner.act.length]).toEqual(['act', 2]);
    expect(owner.act(4, 2)).toBe(2);
    expect(() => owner.act(1, 0)).toThrow(RangeError);
  });

  it('skip what the browser lacks', () => {
    const owner = {};
    shimMethod(owner, 'missing', () => 1);
    shimGetter(undefined, 'x', () => 1);
    shimSetter(owner, 'x', () => 1);
    expect(Reflect.ownKeys(owner)).toEqual([]);
  });

  it('change the value that goes into or comes out of an accessor', () => {
    let stored = 0;
    const owner = {
      get value(): number {
        return stored;
      },
      set value(next: number) {
        stored = next;
      },
    };
    shimSetter(owner, 'value', (next) => (next as number) + 1);
    shimGetter<unknown, number>(owner, 'value', (value) => value * 10);
    owner.value = 1;
    expect([stored, owner.value]).toEqual([2, 20]);
  });

  it('keep extends, instanceof and constructor working', () => {
    class Thing {
      constructor(readonly name: string) {}
    }
    const realm = { Thing };
    const made: unknown[][] = [];
    shimConstructor(realm as unknown as Realm, 'Thing', (_, args) => made.push(args));
    const thing = new realm.Thing('a');
    class Special extends realm.Thing {}
    const special = new Special('b');
    expect(made).toEqual([['a'], ['b']]);
    expect(thing).toBeInstanceOf(realm.Thing);
    expect(thing).toBeInstanceOf(Thing);
    expect(thing.constructor).toBe(realm.Thing);
    expect(special).toBeInstanceOf(Special);
    expect(() => (realm.Thing as unknown as () => void)()).toThrow(TypeError);
  });
});
