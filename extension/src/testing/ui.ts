/** For tests: messages of _locales, and receipts. */
import { fakeBrowser } from 'wxt/testing';
import messages from '../../public/_locales/en/messages.json';
import type { Receipt, VersusRandom } from '../receipt';

/** Installs a `browser.i18n.getMessage` that reads _locales, as browsers do. */
export function installMessages(): void {
  fakeBrowser.i18n.getMessage = ((key: string, values: string[] = []) => {
    const found = (messages as Record<string, { message: string }>)[key]?.message ?? '';
    return found.replace(/\$(\d)/g, (_, place: string) => values[Number(place) - 1] ?? '');
  }) as typeof fakeBrowser.i18n.getMessage;
}

const pair = (protectedOne: number | null, random: number | null): VersusRandom => ({
  protected: protectedOne,
  random,
});

/** Receipt of a server with two real encoders. */
export function receiptWith(changes: Partial<Receipt> = {}): Receipt {
  return {
    recipe: 'balanced',
    preset: 'instagram',
    budgetAsked: 8,
    budgetSpent: 8,
    steps: 45,
    stepsAsked: 45,
    stopped: 'steps',
    imperceptibility: {
      psnr: 37.6,
      ssim: 0.951,
      de2000Mean: 1.4,
      de2000P95: 3.1,
      relief: 1.1,
      meanLevels: 2.6,
      maxLevels: 8,
    },
    effects: [
      {
        surrogate: 'taesd',
        role: 'surrogate',
        shift: pair(0.81, 0.14),
        decodedPsnr: pair(19.2, 27.9),
        decodedLpips: pair(0.41, 0.12),
        decodedIdentity: pair(0.42, 0.86),
      },
      {
        surrogate: 'taesd3',
        role: 'held-out',
        shift: pair(0.15, 0.14),
        decodedPsnr: pair(28.4, 28.6),
        decodedLpips: pair(0.15, 0.12),
        decodedIdentity: null,
      },
    ],
    beatsRandom: 5,
    checks: 7,
    survival: [
      { change: 'jpeg75', surrogate: 'taesd', left: pair(0.7, 0.6) },
      { change: 'instagram', surrogate: 'taesd', left: pair(0.18, 1) },
    ],
    encoding: { format: 'JPEG', lossless: false, perturbationKept: 0.93, maxLevels: 14 },
    notes: [],
    seconds: { protect: 12 },
    ...changes,
  };
}
