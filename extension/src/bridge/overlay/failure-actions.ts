/** What becomes of photos that could not be protected. The original needs a second, deliberate click. */
import { el } from '../../ui/dom';
import { plural, text } from '../../ui/i18n';

export type ChooseAction = (choice: 'retry' | 'nothing' | 'original') => void;

/** Milliseconds in which a second click is taken for the end of a double click. */
export const CONFIRM_DELAY = 700;

interface FailureActionsOptions {
  /** How many photos it is about. */
  photos: number;
  retry: boolean;
  /** Their name, for those who do not see what the buttons stand beside. */
  name: string;
  choose: ChooseAction;
}

/** Only the person decides: a script of the page can send events, but not trusted ones. */
export function ifTrusted(act: (event: Event) => void): (event: Event) => void {
  return (event) => {
    if (event.isTrusted) act(event);
  };
}

export function failureActions({ photos, retry, name, choose }: FailureActionsOptions): HTMLElement {
  const box = el('div', { className: 'failure-actions' });
  const label = (words: string): string => `${words}: ${name}`;
  const ask = (): void => {
    const retryButton = button(text(photos > 1 ? 'retry_all' : 'retry'), 'main', label, () => choose('retry'));
    box.replaceChildren(
      el(
        'div',
        { className: 'buttons' },
        retry && retryButton,
        button(text('send_nothing'), '', label, () => choose('nothing')),
        button(plural(photos, 'send_original', 'send_originals'), 'link', label, confirm),
      ),
    );
  };
  const confirm = (): void => {
    const since = performance.now();
    const sure = (): void => {
      if (performance.now() - since >= CONFIRM_DELAY) choose('original');
    };
    const back = button(text('original_back'), '', label, () => {
      ask();
      box.querySelector('button')?.focus();
    });
    box.replaceChildren(
      el(
        'div',
        { className: 'notice bad', role: 'alert' },
        plural(photos, 'original_question_one', 'original_question_other'),
      ),
      el('div', { className: 'buttons' }, back, button(text('original_confirm'), 'danger', label, sure)),
    );
    back.focus();
  };
  ask();
  return box;
}

function button(words: string, className: string, label: (words: string) => string, act: () => void): HTMLElement {
  return el('button', { type: 'button', className, 'aria-label': label(words), onclick: ifTrusted(act) }, words);
}
