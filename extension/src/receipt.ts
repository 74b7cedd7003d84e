/** The server's receipt (JSON of GET /v1/jobs/ID/receipt), as far as it is read here. */

/** A number for the protected photo, and the same for a random perturbation of the same PSNR; null: infinite. */
export interface VersusRandom {
  protected: number | null;
  random: number | null;
}

export type Measure = 'shift' | 'decodedPsnr' | 'decodedLpips' | 'decodedIdentity';

export interface Effect {
  surrogate: string;
  /** 'gauge': the packaged student; it counts only where no real encoder judged. */
  role: 'surrogate' | 'held-out' | 'gauge';
  shift: VersusRandom;
  decodedPsnr: VersusRandom | null;
  decodedLpips: VersusRandom | null;
  decodedIdentity: VersusRandom | null;
}

export interface Survival {
  change: string;
  surrogate: string;
  left: VersusRandom;
}

export interface Receipt {
  recipe: string | null;
  preset: string | null;
  budgetAsked: number | null;
  budgetSpent: number;
  steps: number;
  stepsAsked: number;
  stopped: string;
  imperceptibility: {
    psnr: number | null;
    ssim: number;
    de2000Mean: number;
    de2000P95: number;
    /** Levels of what shows on smooth areas; null: the photo has none. */
    relief: number | null;
    meanLevels: number;
    maxLevels: number;
  };
  effects: Effect[];
  /** Of `checks` comparisons with the random perturbation, those where the protection clearly did more. */
  beatsRandom: number;
  checks: number;
  survival: Survival[];
  encoding: { format: string; lossless: boolean; perturbationKept: number; maxLevels: number } | null;
  notes: string[];
  seconds: Record<string, number>;
}
