const MIB = 2 ** 20;

/**
 * Tells what differs between the versions of EventStoreDB and KurrentDB. `isSince` tells whether the version is at least
 * this one.
 */
export const behaviourOf = (version) => {
  const [major, minor] = version.split('.').map(Number);
  const isSince = (otherMajor, otherMinor) => major > otherMajor || (major === otherMajor && minor >= otherMinor);
  return {
    version,
    isSince,
    /** Whether answers are compressed for clients that accept gzip. */
    compresses: isSince(25, 1),
    /** Whether sizes include metadata and types. */
    countsAll: isSince(24, 10) && !isSince(25, 1),
    maxAppendBytes: (isSince(25, 1) ? 256 : 1) * MIB,
    maxEventBytes: isSince(25, 1) ? 16 * MIB : Infinity,
  };
};
