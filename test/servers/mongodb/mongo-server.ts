import { hasMongo, hasOwnMongo, newDatabase, startMongo } from './launch.js';

export { newDatabase, startMongo };
export type { MongoProcess, NewDatabase } from './launch.js';

const WANTED = 'set MONGODB_URL, or install mongod, or Java 17 and Maven';

/**
 * Describes a suite that needs MongoDB. Without a MongoDB server, the suite is skipped with a warning, or fails if
 * `CI=true`.
 */
export const describeWithMongo = (name: string, suite: () => void): void => {
  describeWhere(hasMongo(), name, suite);
};

/**
 * Describes a suite that kills its MongoDB server, so the server at `MONGODB_URL` can't be used. If no server can be
 * started, the suite is skipped with a warning, or fails if `CI=true`.
 */
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
