import { beforeEach, expect, test } from 'vitest';
import type { Problem } from '../messages';
import { installMessages } from '../testing/ui';
import { mayRetry, problemHelp, problemTitle } from './problem-text';

beforeEach(installMessages);

test("every problem has a title, a next step, and the server's sentence if that says more", () => {
  const codes: Problem['code'][] = ['unpaired', 'unreachable', 'unauthorised', 'busy', 'too-large'];
  codes.push('refused', 'failed', 'gone', 'reload', 'internal');
  for (const code of codes) {
    const problem = { code, detail: 'the photo has 48 MB' };
    expect(problemTitle(problem)).not.toBe('');
    expect(problemHelp(problem).every((words) => words.length > 0)).toBe(true);
  }
  expect(problemHelp({ code: 'failed', detail: 'out of memory' })[0]).toBe('Out of memory.');
  expect(problemHelp({ code: 'busy', detail: '', retryAfter: 4.2 })).toEqual(['Try again in about 5 seconds.']);
  expect(mayRetry({ code: 'reload', detail: '' })).toBe(false);
});
