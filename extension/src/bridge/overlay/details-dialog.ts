/** Dialog behind "See how": before and after previews and receipts of protected photos. */
import type { PhotoStage, PhotoView } from '../../messages';
import { dataUrlToBlob, drawThumbnail } from '../../ui/canvas';
import { comparePhotos } from '../../ui/compare-slider';
import { ICONS, el, icon, uniqueId } from '../../ui/dom';
import { displayName } from '../../ui/format';
import { plural, text } from '../../ui/i18n';
import { shortHeadline } from '../../ui/receipt-text';
import { receiptView } from '../../ui/receipt-view';
import type { OverlayHost } from './overlay-host';

type Done = Extract<PhotoStage, { at: 'done' }>;
export interface DonePhoto extends PhotoView {
  stage: Done;
}

export function isDone(photo: PhotoView): photo is DonePhoto {
  return photo.stage.at === 'done';
}

export function showDetails(host: OverlayHost, photos: DonePhoto[]): void {
  const id = uniqueId();
  const dialog: HTMLDialogElement = el('dialog', { className: 'details', 'aria-labelledby': id });
  const close = (): void => host.close(dialog);
  const title = el('h2', { id, tabIndex: -1 }, plural(photos.length, 'details_one', 'details_other'));
  const closer = el(
    'button',
    { type: 'button', className: 'close', 'aria-label': text('close'), onclick: close },
    icon(ICONS.close),
  );
  const items = photos.map((photo) => (photos.length === 1 ? photoDetails(photo) : collapsedDetails(photo)));
  items[0]?.setAttribute('open', '');
  dialog.append(
    el('div', { className: 'head' }, el('span', { className: 'mark' }, icon(ICONS.done)), title, closer),
    el('div', { className: 'middle' }, items),
  );
  dialog.addEventListener('cancel', (event) => {
    event.preventDefault();
    close();
  });
  dialog.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    close();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) close(); // the backdrop
  });
  host.open(dialog, 'modal');
  title.focus();
}

/** Collapsed details of one of several photos: previews are drawn when it is opened. */
function collapsedDetails(photo: DonePhoto): HTMLElement {
  const thumb = el('canvas', { className: 'thumbnail', width: 112, height: 112, 'aria-hidden': 'true' });
  void drawThumbnail(thumb, photo.thumbnail);
  const name = el('span', {}, displayName(photo.name), el('small', {}, shortHeadline(photo.stage.receipt)));
  const fold = el('details', { className: 'collapsible' }, el('summary', {}, thumb, name));
  fold.addEventListener('toggle', () => {
    if (fold.open && fold.children.length === 1) fold.append(photoDetails(photo));
  });
  return fold;
}

function photoDetails(photo: DonePhoto): HTMLElement {
  const { before, after, receipt } = photo.stage;
  const pictures = el('div', { className: 'pictures' });
  const cannot = (): HTMLElement => el('p', { className: 'notice' }, text('compare_cannot'));
  const drawn =
    before === '' || after === '' ? Promise.reject(new Error('no preview')) : compareDrawn(before, after, photo);
  drawn.then(
    (compare) => pictures.replaceChildren(compare, el('p', { className: 'secondary' }, text('compare_small'))),
    () => pictures.replaceChildren(cannot()),
  );
  return el('div', { className: 'body' }, pictures, receiptView(receipt, displayName(photo.name)));
}

async function compareDrawn(before: string, after: string, photo: PhotoView): Promise<HTMLElement> {
  return comparePhotos(dataUrlToBlob(before), dataUrlToBlob(after), displayName(photo.name));
}
