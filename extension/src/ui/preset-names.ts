/** Display names of presets. Brands are not translated. */
import { text } from './i18n';

const BRANDS: Record<string, string> = {
  instagram: 'Instagram',
  facebook: 'Facebook',
  x: 'X',
  whatsapp: 'WhatsApp',
  bluesky: 'Bluesky',
  mastodon: 'Mastodon',
  linkedin: 'LinkedIn',
};

export function presetName(preset: string): string {
  return preset === 'any' ? text('place_any') : (BRANDS[preset] ?? preset);
}
