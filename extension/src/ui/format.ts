/** Formats durations, sizes and names. */
import { formatNumber, text } from './i18n';

/** "12 s", "1 min", "1 min 5 s". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes === 0) return text('seconds', rest);
  return rest === 0 ? text('minutes_only', minutes) : text('minutes', minutes, rest);
}

/** Name of a photo; request bodies and clipboard items have none. */
export function displayName(name: string): string {
  return name === '' ? text('unnamed') : name;
}

/** "812 kB", "2.4 MB". */
export function fileSize(bytes: number): string {
  return bytes < 1e6 ? text('kilobytes', Math.ceil(bytes / 1e3)) : text('megabytes', formatNumber(bytes / 1e6, 1));
}
