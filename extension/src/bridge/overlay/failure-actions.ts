/** Buttons for photos that could not be protected. Sending the original takes a second, deliberate click. */
import { el } from '../../ui/dom';
import { plural, text } from '../../ui/i18n';

type ChooseAction = (choice: 'retry' | 'nothing' | 'original') => void;

/** Milliseconds in which a second click counts as part of a double click and is ignored. */
export const CONFIRM_DELAY = 700;

interface FailureActionsOptions {
  /** Number of photos. */
  photos: number;
  retry: boolean;
  /** Name of the photos, for screen readers. */
  name: string;
  choose: ChooseAction;
}

/** Ignores untrusted events: scripts of the page must not decide for the user. */
export function ifTrusted(act: (event: Event) => void): (event: Event) => void {
  return (event) => {
    if (event.isTrusted) act(event);
  };
}

export function failureActions({ photos, retry, name, choose }: FailureActionsOptions): HTMLElement {
  const box = el('div', { className: 'failure-actions' });
  const label = (words: string): string => `${words}: ${name}`;
  const showChoices = (): void => {
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
    const sendOriginal = (): void => {
      if (performance.now() - since >= CONFIRM_DELAY) choose('original');
    };
    const goBack = button(text('original_back'), '', label, () => {
      showChoices();
      box.querySelector('button')?.focus();
    });
    box.replaceChildren(
      el(
        'div',
        { className: 'notice bad', role: 'alert' },
        plural(photos, 'original_question_one', 'original_question_other'),
      ),
      el('div', { className: 'buttons' }, goBack, button(text('original_confirm'), 'danger', label, sendOriginal)),
    );
    goBack.focus();
  };
  showChoices();
  return box;
}

function button(words: string, className: string, label: (words: string) => string, act: () => void): HTMLElement {
  return el('button', { type: 'button', className, 'aria-label': label(words), onclick: ifTrusted(act) }, words);
}
