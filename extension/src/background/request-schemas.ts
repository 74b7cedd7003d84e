/** The shape of every request. A bridge runs beside a hostile page, so its word is checked like any other's. */
import type { HoldView, PhotoView, RequestName, Requests } from '../messages';
import { payload } from '../blob-transfer';
import { anything, byTag, count, flag, list, number, object, only, or, record, text, type Shape } from '../validators';
import { JOB_ID, IDEMPOTENCY_KEY } from './server-api';
import { settled } from './upload-history';

/** Photos of one hold: a folder may hold many. */
const MAX_PHOTOS = 2000;

const id = text(300);
const job = text(200, JOB_ID);

/** A small picture, and nothing that a browser would fetch or run. */
const picture = text(4_000_000, /^(data:image\/(png|jpeg|webp);base64,[\w+/=]*)?$/);

const problem = object({ code: text(20), detail: text(4000) }, { retryAfter: number });

const stage = byTag<PhotoView['stage']>('at', {
  sending: record,
  queued: object({ position: count }),
  running: object({ step: count, steps: or(count, only(null)) }),
  fetching: record,
  done: object({ receipt: record, before: picture, after: picture }),
  failed: object({ problem }),
  withheld: record,
  original: record,
});

const photo = object({
  id,
  name: text(4096),
  bytes: count,
  thumbnail: picture,
  stage,
  since: number,
  deadline: or(number, only(null)),
});

export const view: Shape<HoldView> = object(
  {
    hold: id,
    surface: only('input', 'drop', 'paste', 'clipboard', 'handle', 'network'),
    site: text(300),
    photos: list(photo, MAX_PHOTOS),
    holding: flag,
  },
  { notice: only('vector', 'animation', 'posted-without', 'handle') },
) as Shape<unknown> as Shape<HoldView>;

const decision = object({ hold: id, photo: or(id, only(null)), choice: only('retry', 'nothing', 'original') });

export const REQUEST_SCHEMAS: { [Name in RequestName]: Shape<Requests[Name]['request']> } = {
  state: object({}, { fresh: flag }) as Shape<Requests['state']['request']>,
  clones: object({ probe: anything }),
  submit: object({ photo: payload, key: text(100, IDEMPOTENCY_KEY) }),
  follow: object({ job, after: count }),
  result: object({ job }, { base64: flag }) as Shape<Requests['result']['request']>,
  cancel: object({ job }),
  show: object({ view: or(view, only(null)), hold: id }),
  settled: object({ photos: list(settled, MAX_PHOTOS) }),
  decide: object({ decision, frame: count }),
  overview: object({ tab: count, url: text(100_000) }),
  settings: record,
  change: record as Shape<unknown> as Shape<Requests['change']['request']>, // settings.ts looks at each value
  pair: or(object({ address: text(300), code: text(100) }), only(null)),
  server: record,
  choices: record,
  saveSource: object({ key: text(100) }, { base64: flag }) as Shape<Requests['saveSource']['request']>,
};
