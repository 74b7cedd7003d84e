/** Receipt of a job (GET /v1/jobs/ID/receipt): the fields that the extension reads. */

/** A measurement of the protected photo, and of a random perturbation of equal PSNR. null: infinite. */
export interface VersusRandom {
  protected: number | null;
  random: number | null;
  /** The server's verdict: the protection clearly did more than the random perturbation. Older servers send none. */
  clearlyMore?: boolean;
}

export type Measure = 'shift' | 'decodedPsnr' | 'decodedLpips' | 'decodedIdentity';

export interface Effect {
  surrogate: string;
  /** 'gauge': the packaged student, which counts only where no real encoder measured. */
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
    /** Levels of the perturbation on smooth areas; null: the photo has none. */
    relief: number | null;
    meanLevels: number;
    maxLevels: number;
  };
  effects: Effect[];
  /** Number of the `checks` in which the protection clearly beat the random perturbation. */
  beatsRandom: number;
  checks: number;
  survival: Survival[];
  encoding: { format: string; lossless: boolean; perturbationKept: number; maxLevels: number } | null;
  notes: string[];
  seconds: Record<string, number>;
}
