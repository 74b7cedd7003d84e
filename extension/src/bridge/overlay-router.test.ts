import { describe, expect, test } from 'vitest';
import type { HoldView, PhotoView } from '../messages';
import { RECEIPT } from '../testing/fake-server';
import { withEarlierPictures, withoutSentPictures } from './overlay-router';

const photo = (more: Partial<PhotoView>): PhotoView => ({
  id: 'a',
  name: 'a.jpg',
  bytes: 1,
  thumbnail: '',
  stage: { at: 'sending' },
  since: 0,
  deadline: null,
  ...more,
});
const view = (...photos: PhotoView[]): HoldView => ({ hold: 'h', surface: 'input', site: '', photos, holding: true });
const done = (before: string, after: string): PhotoView['stage'] => ({ at: 'done', receipt: RECEIPT, before, after });

describe('pictures are sent to the top frame once, and shown in every view', () => {
  const views = [
    view(photo({})),
    view(photo({ thumbnail: 't' })),
    view(photo({ thumbnail: 't', stage: { at: 'running', step: 1, steps: 2 } })),
    view(photo({ thumbnail: 't', stage: done('', '') })),
    view(photo({ thumbnail: 't', stage: done('b', 'a') })),
    { ...view(photo({ thumbnail: 't', stage: done('b', 'a') })), holding: false },
  ];
  test('the top frame draws what the frame showed', () => {
    const sent = new Set<string>();
    let drawn: HoldView | undefined;
    for (const whole of views) {
      drawn = withEarlierPictures(withoutSentPictures(whole, sent), drawn);
      expect(drawn).toEqual(whole);
    }
  });
  test('each picture is sent once', () => {
    const sent = new Set<string>();
    const all = JSON.stringify(views.map((whole) => withoutSentPictures(whole, sent)));
    for (const picture of ['t', 'b', 'a']) {
      expect(all.match(new RegExp(`"(thumbnail|before|after)":"${picture}"`, 'g'))).toHaveLength(1);
    }
  });
  test('the same photo in another hold is sent again', () => {
    const sent = new Set<string>();
    const whole = view(photo({ thumbnail: 't' }));
    withoutSentPictures(whole, sent);
    expect(withoutSentPictures({ ...whole, hold: 'other' }, sent).photos[0]?.thumbnail).toBe('t');
  });
});
