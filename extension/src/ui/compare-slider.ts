/** Before and after pictures with a slider between them. */
import { photoCanvas } from './canvas';
import { el } from './dom';
import { text } from './i18n';

/** Compares two photos. Rejects if the browser cannot draw one of them. */
export async function comparePhotos(before: Blob, after: Blob, name: string): Promise<HTMLElement> {
  const [left, right] = await Promise.all([photoCanvas(before), photoCanvas(after)]);
  return compareSlider(left, right, name);
}

export function compareSlider(left: HTMLCanvasElement, right: HTMLCanvasElement, name: string): HTMLElement {
  left.className = 'before';
  right.className = 'after';
  for (const canvas of [left, right]) canvas.setAttribute('aria-hidden', 'true');
  const divider = el('div', { className: 'divider', 'aria-hidden': 'true' });
  const tags = [
    el('span', { className: 'tag left', 'aria-hidden': 'true' }, text('before')),
    el('span', { className: 'tag right', 'aria-hidden': 'true' }, text('after')),
  ];
  const frame = el('div', { className: 'frame' }, left, right, divider, tags);
  const label = text('compare_label', name);
  const range = el('input', { type: 'range', min: '0', max: '100', value: '50', 'aria-label': label });
  const draw = (): void => {
    const share = Number(range.value);
    right.style.clipPath = `inset(0 0 0 ${share}%)`;
    divider.style.left = `${share}%`;
    range.setAttribute('aria-valuetext', text('compare_value', share, 100 - share));
  };
  range.addEventListener('input', draw);
  drag(frame, (share) => {
    range.value = String(Math.round(share * 100));
    draw();
  });
  draw();
  return el('figure', { className: 'compare' }, frame, range);
}

function drag(frame: HTMLElement, moved: (share: number) => void): void {
  const move = (event: PointerEvent): void => {
    const box = frame.getBoundingClientRect();
    moved(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  };
  frame.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    move(event);
  });
  frame.addEventListener('pointermove', (event) => {
    if (frame.hasPointerCapture(event.pointerId)) move(event);
  });
}
