/** Text for problems: a title, the server's own sentence, and what the user can do. */
import { asSentence } from '../as-sentence';
import type { Problem } from '../messages';
import { type MessageKey, plural, text } from './i18n';

interface ProblemKeys {
  title: MessageKey;
  /** What the user can do. */
  help: MessageKey;
}

const PROBLEM_KEYS: Record<Problem['code'], ProblemKeys> = {
  unpaired: { title: 'problem_unpaired', help: 'help_unpaired' },
  unreachable: { title: 'problem_unreachable', help: 'help_unreachable' },
  unauthorised: { title: 'problem_unauthorised', help: 'help_unauthorised' },
  busy: { title: 'problem_busy', help: 'help_busy' },
  'too-large': { title: 'problem_too_large', help: 'help_too_large' },
  refused: { title: 'problem_refused', help: 'help_refused' },
  failed: { title: 'problem_failed', help: 'help_failed' },
  gone: { title: 'problem_gone', help: 'help_gone' },
  reload: { title: 'problem_reload', help: 'help_reload' },
  internal: { title: 'problem_internal', help: 'help_internal' },
};

/** Problems whose title says enough, so that the technical detail is left out. */
const WITHOUT_DETAIL = new Set<Problem['code']>(['unpaired', 'unreachable', 'unauthorised', 'gone', 'reload']);

export function problemTitle(problem: Problem): string {
  return text(PROBLEM_KEYS[problem.code].title);
}

/** Sentences below the title: the detail, then what the user can do. */
export function problemHelp(problem: Problem): string[] {
  const { code, detail, retryAfter } = problem;
  const help =
    code === 'busy' && retryAfter !== undefined
      ? plural(Math.max(1, Math.ceil(retryAfter)), 'help_busy_one', 'help_busy_other')
      : text(PROBLEM_KEYS[code].help);
  const said = asSentence(detail.trim());
  if (WITHOUT_DETAIL.has(code) || said === '') return [help];
  return code === 'too-large' ? [said] : [said, help];
}

/** Whether a retry can succeed. */
export function mayRetry(problem: Problem): boolean {
  return problem.code !== 'reload' && problem.code !== 'too-large';
}
