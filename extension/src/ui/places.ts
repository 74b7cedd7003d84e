/** Names of the server's presets: brands, said alike in every language. */
import { text } from './text';

const BRANDS: Record<string, string> = {
  instagram: 'Instagram',
  facebook: 'Facebook',
  x: 'X',
  whatsapp: 'WhatsApp',
  bluesky: 'Bluesky',
  mastodon: 'Mastodon',
  linkedin: 'LinkedIn',
};

export function placeName(preset: string): string {
  return preset === 'any' ? text('place_any') : (BRANDS[preset] ?? preset);
}
