/** "Protect and save" of the context menu: protects one image, to be saved under a new name. */
import { supportsBlobMessages, unpackBlob } from '../../blob-transfer';
import { PHOTO_FORMATS } from '../../photo-formats';
import { sendRequest } from '../../send-request';
import { el } from '../../ui/dom';
import { displayName } from '../../ui/format';
import { text } from '../../ui/i18n';
import { JobCard } from '../../ui/job-card';
import { brand, setUpPage } from '../../ui/page-layout';
import { savedName } from '../../ui/saved-name';

void draw(setUpPage('save_title'));

async function draw(main: HTMLElement): Promise<void> {
  const heading = el('h1', {}, text('save_title'));
  const intro = el('p', { className: 'intro' }, text('save_intro'));
  const container = el('section', { className: 'card', 'aria-label': text('save_title') });
  main.append(brand(), heading, intro, container);
  container.append(el('p', { className: 'secondary', role: 'status' }, text('save_fetching')));
  const key = location.hash.slice(1);
  const source = key === '' ? null : await sendRequest('saveSource', { key, base64: !(await supportsBlobMessages()) });
  if (source?.ok === true) await protect(container, unpackBlob(source.value.file), source.value.name);
  else choose(container, source === null ? '' : source.problem.detail);
}

async function protect(container: HTMLElement, photo: Blob, name: string): Promise<void> {
  const job = new JobCard(photo, displayName(name), (result) => link(result, name));
  container.replaceChildren(el('h2', {}, displayName(name)), job.element);
  await job.run();
}

/** Lets the user choose a file if the image could not be fetched. */
function choose(container: HTMLElement, why: string): void {
  const input = el('input', {
    type: 'file',
    id: 'file',
    accept: Object.keys(PHOTO_FORMATS).join(),
  });
  input.addEventListener('change', () => {
    const [file] = input.files ?? [];
    if (file !== undefined) void protect(container, file, file.name);
  });
  const field = el('div', { className: 'field' }, el('label', { htmlFor: 'file' }, text('save_choose')), input);
  container.replaceChildren(...(why === '' ? [] : [el('p', { className: 'notice bad', role: 'alert' }, why)]), field);
}

/** Link that saves the photo. The user's click makes the "downloads" permission unnecessary. */
function link(file: Blob, name: string): HTMLElement {
  const saved = savedName(name, file.type);
  const anchor = el('a', { className: 'button main', href: URL.createObjectURL(file), download: saved }, text('save'));
  return el('div', { className: 'buttons' }, anchor, el('span', { className: 'secondary' }, saved));
}
