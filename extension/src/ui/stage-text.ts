/** Text for a held photo: stage, progress and time. Unknown values are shown as unknown. */
import type { PhotoView } from '../messages';
import { duration } from './format';
import { plural, text } from './i18n';
import { isWeak, shortHeadline } from './receipt-text';

/** A share of 1; 'unknown' while steps are not counted; null if nothing runs. */
type Progress = number | 'unknown' | null;

export function isRunning({ stage }: PhotoView): boolean {
  return stage.at === 'sending' || stage.at === 'queued' || stage.at === 'running' || stage.at === 'fetching';
}

export function stageText({ stage }: PhotoView): string {
  switch (stage.at) {
    case 'sending':
      return text('stage_sending');
    case 'queued':
      return stage.position > 0 ? plural(stage.position, 'stage_queued_one', 'stage_queued_other') : text('stage_next');
    case 'running':
      if (stage.steps === null) return text('stage_running');
      return stage.step < stage.steps ? text('stage_step', stage.step, stage.steps) : text('stage_measuring');
    case 'fetching':
      return text('stage_fetching');
    case 'done':
      return text(isWeak(stage.receipt) ? 'stage_weak' : 'stage_done', shortHeadline(stage.receipt));
    case 'failed':
      return text('stage_failed');
    case 'withheld':
      return text('stage_withheld');
    case 'original':
      return text('stage_original');
  }
}

export function progressOf(photo: PhotoView): Progress {
  if (!isRunning(photo)) return null;
  const { stage } = photo;
  // Measuring reports no progress.
  if (stage.at === 'running' && stage.steps !== null && stage.step < stage.steps) return stage.step / stage.steps;
  return 'unknown';
}

/** "12 s so far, at most 48 s left"; "" if nothing runs. `now`: milliseconds since the epoch. */
export function timeText(photo: PhotoView, now: number): string {
  if (!isRunning(photo)) return '';
  const elapsed = Math.max(0, (now - photo.since) / 1000);
  if (photo.deadline === null) return text('time_unknown', duration(elapsed));
  const left = photo.deadline - elapsed;
  if (left <= 0) return text('time_over', duration(elapsed), duration(photo.deadline));
  return text('time_left', duration(elapsed), duration(left));
}
