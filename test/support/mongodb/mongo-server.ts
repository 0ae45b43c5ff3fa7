import { hasMongo, hasOwnMongo, startMongo } from './launch.js';

export { startMongo };
export type { MongoProcess } from './launch.js';

const WANTED = 'set MONGODB_URL, or install mongod, or Java 17 and Maven';

/** A suite that needs MongoDB: without any it is skipped, which it says; with `CI=true` that is a failure. */
export const describeWithMongo = (name: string, suite: () => void): void => {
  describeWhere(hasMongo(), name, suite);
};

/** The same for one that kills its server, which `MONGODB_URL`'s must not be. */
export const describeWithOwnMongo = (name: string, suite: () => void): void => {
  describeWhere(hasOwnMongo(), name, suite);
};

function describeWhere(there: boolean, name: string, suite: () => void): void {
  if (there) describe(name, suite);
  else if (process.env.CI === 'true') {
    it(name, () => {
      throw new Error(`There is no MongoDB to test with: ${WANTED}`);
    });
  } else {
    console.warn(`SKIPPED for want of MongoDB: ${name}. To run it, ${WANTED}.`);
    describe.skip(name, suite);
  }
}
