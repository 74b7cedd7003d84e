// @vitest-environment happy-dom
import { beforeEach, expect, test } from 'vitest';
import { installMessages } from '../testing/ui';
import { compareSlider } from './compare-slider';

beforeEach(installMessages);

test('the slider announces its value to screen readers', () => {
  const [left, right] = [document.createElement('canvas'), document.createElement('canvas')];
  const range = compareSlider(left, right, 'me.jpg').querySelector('input')!;
  expect(range.getAttribute('aria-label')).toBe('Before and after of me.jpg');
  range.value = '20';
  range.dispatchEvent(new Event('input'));
  expect(range.getAttribute('aria-valuetext')).toBe('20 % before, 80 % after');
  expect(right.style.clipPath).toContain('20%');
});
