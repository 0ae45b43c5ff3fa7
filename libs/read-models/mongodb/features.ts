import type { Db } from 'mongodb';
import { isUnsupported, refusalOf } from './errors.js';

/** What the service does without if the server does not have it, and what an operator is told then. */
const WARNINGS = {
  validation: 'it stores documents without checking their form',
  views: 'analysts find no views',
} as const;

/** Uses what some products that speak MongoDB's protocol don't have. Warns once for each thing that is missing. */
export class Features {
  private readonly missing = new Set<keyof typeof WARNINGS>();

  constructor(
    readonly database: Db,
    private readonly warn: (message: string) => void,
  ) {}

  /** Returns `false` if the server does not have the feature. Throws all other errors of `use`. */
  async use(feature: keyof typeof WARNINGS, use: () => Promise<unknown>): Promise<boolean> {
    try {
      await use();
      return true;
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      if (!this.missing.has(feature)) {
        this.warn(`MongoDB has no ${feature} here (${refusalOf(error)}): ${WARNINGS[feature]}`);
      }
      this.missing.add(feature);
      return false;
    }
  }
}
