/** Welcome page: start the server, pair, protect a sample photo; and what to expect. */
import { accessNotice } from '../../ui/site-access';
import { ICONS, el, icon } from '../../ui/dom';
import { JobCard } from '../../ui/job-card';
import { brand, card, setUpPage } from '../../ui/page-layout';
import { serverCard } from '../../ui/server-card';
import { text } from '../../ui/i18n';
import './welcome.css';

const INSTALL = 'pip install "anti-i2v-sdk[server,cpu]"';
const START = 'anti-i2v serve';
/** Portrait of Eileen Collins by NASA, in the public domain: see self-test.txt. */
const PHOTO = '/self-test.jpg';

void draw(setUpPage('welcome_title'));

async function draw(main: HTMLElement): Promise<void> {
  const start = step(
    text('welcome_start'),
    el('p', {}, text('welcome_start_why')),
    command(text('welcome_install'), INSTALL),
    command(text('welcome_serve'), START),
    el('p', { className: 'secondary' }, text('welcome_python')),
  );
  const test = selfTest();
  const pair = step(text('welcome_pair'), el('p', {}, text('welcome_pair_how')));
  const server = await serverCard(({ paired }) => {
    start.classList.toggle('done', paired);
    pair.classList.toggle('done', paired);
    test.allow(paired);
  });
  pair.append(server);
  const access = await accessNotice();
  main.append(
    brand(),
    el('h1', {}, text('welcome_heading')),
    el('p', { className: 'intro' }, text('welcome_intro')),
    ...(access === null ? [] : [access]),
    start,
    pair,
    test.element,
    promises(),
  );
}

function step(title: string, ...children: HTMLElement[]): HTMLElement {
  const section = card(title, ...children);
  section.classList.add('step');
  return section;
}

function command(label: string, line: string): HTMLElement {
  const code = el('code', {}, line);
  const copied = el('span', { className: 'visually-hidden', role: 'status' });
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(line);
      button.textContent = copied.textContent = text('copied');
      setTimeout(() => (button.textContent = text('copy')), 3000);
    } catch {
      getSelection()?.selectAllChildren(code);
    }
  };
  const button = el(
    'button',
    { type: 'button', 'aria-label': text('copy_label', line), onclick: () => void copy() },
    text('copy'),
  );
  return el(
    'div',
    {},
    el('p', { className: 'secondary' }, label),
    el('div', { className: 'command' }, code, button, copied),
  );
}

function selfTest(): { element: HTMLElement; allow: (paired: boolean) => void } {
  const picture = el('img', { src: PHOTO, alt: text('welcome_sample'), width: 112, height: 112 });
  const button = el('button', { type: 'button', className: 'main', disabled: true }, text('welcome_test_start'));
  const hint = el('p', { className: 'secondary' }, text('welcome_test_first'));
  const container = el('div', {});
  const section = step(
    text('welcome_test'),
    el(
      'div',
      { className: 'sample' },
      picture,
      el('div', { className: 'stack' }, el('p', {}, text('welcome_test_what')), el('div', {}, button), hint),
    ),
    container,
  );
  button.addEventListener('click', async () => {
    button.disabled = true;
    const photo = await (await fetch(PHOTO)).blob();
    const job = new JobCard(photo, text('welcome_sample'));
    container.replaceChildren(job.element);
    section.classList.toggle('done', await job.run());
    button.disabled = false;
  });
  const allow = (paired: boolean): void => {
    button.disabled = !paired;
    hint.hidden = paired;
  };
  return { element: section, allow };
}

function promises(): HTMLElement {
  const list = (className: string, mark: string, title: string, points: string[]): HTMLElement =>
    el(
      'div',
      { className },
      el('h3', {}, title),
      el(
        'ul',
        {},
        points.map((words) => el('li', {}, icon(mark), el('span', {}, words))),
      ),
    );
  const does = [text('does_holds'), text('does_closed'), text('does_private'), text('does_receipt')];
  const not = [text('not_certain'), text('not_video'), text('not_elsewhere'), text('not_kinds'), text('not_all')];
  return card(
    text('promises'),
    el(
      'div',
      { className: 'promises' },
      list('does', ICONS.done, text('promises_does'), does),
      list('', ICONS.info, text('promises_not'), not),
    ),
  );
}
