import { inspect } from 'node:util';
import {
  CredentialVerifier,
  type CredentialVerifierOptions,
  hashSecret,
  MasterKeys,
  MasterKeyUnknown,
  mintSecret,
  type StoredCredential,
  VerificationBusy,
  verifySecret,
} from '#credentials';
import type { ClientId } from '#domain';

const keys = MasterKeys.from({ current: Buffer.alloc(32, 1) });
const ada = 'cc_adaAdaAdaAdaAdaAda1234';
const bob = 'cc_bobBobBobBobBobBob1234';

const credential = async (clientId: ClientId, generation: number) => {
  const secret = mintSecret(clientId, keys);
  return { secret, stored: { generation, verifier: await hashSecret(secret, keys) } };
};

const shutGate = () => {
  let open!: () => void;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { gate, open };
};

/**
 * Returns a `CredentialVerifier`, and the list of its Argon2 runs (computations of the password hash). Each run waits
 * until `open` is called.
 */
const counted = (options: Partial<CredentialVerifierOptions> = {}) => {
  const runs: { secret: string; verifier: string }[] = [];
  const { gate, open } = shutGate();
  const verifier = new CredentialVerifier({
    keys,
    ...options,
    verifySecret: async (secret, phc, masterKeys) => {
      runs.push({ secret, verifier: phc });
      await gate;
      return verifySecret(secret, phc, masterKeys);
    },
  });
  return { verifier, runs, open };
};

const opened = (options: Partial<CredentialVerifierOptions> = {}) => {
  const { verifier, runs, open } = counted(options);
  open();
  return { verifier, runs };
};

/** Verifies a secret in the same steps as a login. */
const verdict = async (
  verifier: CredentialVerifier,
  clientId: string,
  secret: string,
  credentials: readonly StoredCredential[],
) => {
  const offered = verifier.offered(clientId, secret);
  return offered && verifier.verify(offered, credentials);
};

describe('the generation of a secret', () => {
  it('is found while both are good; the newest is tried first', async () => {
    const { verifier, runs } = opened();
    const [first, second] = await Promise.all([credential(ada, 1), credential(ada, 2)]);
    const both = [first.stored, second.stored];
    expect(await verdict(verifier, ada, second.secret, both)).toBe(2);
    expect(runs.map((run) => run.verifier)).toEqual([second.stored.verifier]);
    expect(await verdict(verifier, ada, first.secret, both)).toBe(1);
    expect(await verdict(verifier, ada, mintSecret(ada, keys), both)).toBeUndefined();
  });

  it('is not looked for, and no Argon2 run is made, if the secret is made up or another client’s', async () => {
    const { verifier, runs } = opened();
    const { stored } = await credential(ada, 1);
    const { secret: bobs } = await credential(bob, 1);
    for (const secret of ['', 'guess', `ccs_${'a'.repeat(52)}`, bobs]) {
      expect(await verdict(verifier, ada, secret, [stored])).toBeUndefined();
      expect(await verdict(verifier, ada, secret, [])).toBeUndefined();
    }
    expect(runs).toEqual([]);
  });

  it('is not found, at the cost of one run, if the client has no good credential', async () => {
    const { verifier, runs } = opened();
    const { secret, stored } = await credential(ada, 1);
    const parameters = /^.*keyid=[^$]+/.exec(stored.verifier)?.[0] ?? 'no verifier';
    expect(await verdict(verifier, ada, secret, [])).toBeUndefined();
    expect(await verdict(verifier, ada, secret, [])).toBeUndefined();
    expect(runs).toHaveLength(1);
    expect(runs[0]?.verifier.startsWith(parameters)).toBe(true);
    expect(await verdict(verifier, ada, secret, [stored])).toBe(1);
  });

  it('is found under a previous master key', async () => {
    const { secret, stored } = await credential(ada, 1);
    const rotated = MasterKeys.from({ current: Buffer.alloc(32, 2), previous: [Buffer.alloc(32, 1)] });
    expect(await verdict(new CredentialVerifier({ keys: rotated }), ada, secret, [stored])).toBe(1);
  });

  it('can’t be determined if the verifier’s master key is missing: an error says so', async () => {
    const { stored } = await credential(ada, 1);
    const foreign = MasterKeys.from({ current: Buffer.alloc(32, 2) });
    const foreignVerifier = new CredentialVerifier({ keys: foreign });
    await expect(verdict(foreignVerifier, ada, mintSecret(ada, foreign), [stored])).rejects.toThrow(MasterKeyUnknown);
  });
});

describe('a verdict', () => {
  it('is remembered, so that the next login of the client costs no run', async () => {
    const { verifier, runs } = opened();
    const [{ secret, stored }, wrong] = [await credential(ada, 1), mintSecret(ada, keys)];
    for (let login = 0; login < 3; login += 1) {
      expect(await verdict(verifier, ada, secret, [stored])).toBe(1);
      expect(await verdict(verifier, ada, wrong, [stored])).toBeUndefined();
    }
    expect(runs.map((run) => run.secret)).toEqual([secret, wrong]);
  });

  it('is bound to the verifier: after a rotation the old secret is refused, and the new one is verified', async () => {
    const { verifier, runs } = opened();
    const [first, second] = await Promise.all([credential(ada, 1), credential(ada, 2)]);
    expect(await verdict(verifier, ada, first.secret, [first.stored])).toBe(1);
    expect(await verdict(verifier, ada, second.secret, [first.stored])).toBeUndefined();
    expect(await verdict(verifier, ada, first.secret, [second.stored])).toBeUndefined();
    expect(await verdict(verifier, ada, second.secret, [second.stored])).toBe(2);
    expect(runs).toHaveLength(4);
    const rehashed = { generation: 3, verifier: await hashSecret(second.secret, keys) };
    expect(await verdict(verifier, ada, second.secret, [rehashed])).toBe(3);
    expect(runs).toHaveLength(5);
  });

  it('of a good pair outlives any number of refusals; a forgotten pair is verified again', async () => {
    const { verifier, runs } = opened({ remembered: 2 });
    const { secret, stored } = await credential(ada, 1);
    const wrong = Array.from({ length: 3 }, () => mintSecret(ada, keys));
    expect(await verdict(verifier, ada, secret, [stored])).toBe(1);
    for (const guess of wrong) await verdict(verifier, ada, guess, [stored]);
    expect(runs).toHaveLength(4);
    expect(await verdict(verifier, ada, secret, [stored])).toBe(1);
    await verdict(verifier, ada, wrong[2] ?? '', [stored]);
    expect(runs).toHaveLength(4);
    await verdict(verifier, ada, wrong[0] ?? '', [stored]);
    expect(runs).toHaveLength(5);
  });

  it('of the older generation needs no run for the newer one, once it is remembered', async () => {
    const { verifier, runs } = opened({ remembered: 1 });
    const [first, second] = await Promise.all([credential(ada, 1), credential(ada, 2)]);
    const both = [first.stored, second.stored];
    expect(await verdict(verifier, ada, first.secret, both)).toBe(1);
    await verdict(verifier, ada, mintSecret(ada, keys), both);
    const before = runs.length;
    expect(await verdict(verifier, ada, first.secret, both)).toBe(1);
    expect(runs).toHaveLength(before);
  });
});

describe('runs', () => {
  it('are shared by simultaneous requests for the same pair', async () => {
    const { verifier, runs, open } = counted();
    const [{ secret, stored }, wrong] = [await credential(ada, 1), mintSecret(ada, keys)];
    const good = Array.from({ length: 50 }, () => verdict(verifier, ada, secret, [stored]));
    const bad = Array.from({ length: 50 }, () => verdict(verifier, ada, wrong, [stored]));
    open();
    expect(new Set(await Promise.all(good))).toEqual(new Set([1]));
    expect(new Set(await Promise.all(bad))).toEqual(new Set([undefined]));
    expect(runs).toHaveLength(2);
  });

  it('that failed give no verdict: the next request runs again', async () => {
    const { secret, stored } = await credential(ada, 1);
    let runs = 0;
    const failingOnce: typeof verifySecret = (...run) => {
      runs += 1;
      return runs === 1 ? Promise.reject(new Error('out of memory')) : verifySecret(...run);
    };
    const verifier = new CredentialVerifier({ keys, verifySecret: failingOnce });
    await expect(verdict(verifier, ada, secret, [stored])).rejects.toThrow('out of memory');
    expect(await verdict(verifier, ada, secret, [stored])).toBe(1);
  });

  it('are at most two at once for one client, and at most `concurrency` for all', async () => {
    const [adas, bobs] = [await credential(ada, 1), await credential(bob, 1)];
    const running = new Map<string, number>();
    const peak = new Map<string, number>();
    const change = (who: string, by: number) => {
      running.set(who, (running.get(who) ?? 0) + by);
      peak.set(who, Math.max(peak.get(who) ?? 0, running.get(who) ?? 0));
    };
    const verifier = new CredentialVerifier({
      keys,
      concurrency: 3,
      verifySecret: async (secret, phc, masterKeys) => {
        const who = phc === adas.stored.verifier ? ada : bob;
        change(who, 1);
        change('all', 1);
        const matches = await verifySecret(secret, phc, masterKeys);
        change(who, -1);
        change('all', -1);
        return matches;
      },
    });
    const guessing = async (clientId: ClientId, { stored }: typeof adas) => {
      for (let guess = 0; guess < 4; guess += 1)
        await verdict(verifier, clientId, mintSecret(clientId, keys), [stored]);
    };
    const guessers = (clientId: ClientId, owned: typeof adas) =>
      Array.from({ length: 5 }, () => guessing(clientId, owned));
    await Promise.all([...guessers(ada, adas), ...guessers(bob, bobs)]);
    expect(Object.fromEntries(peak)).toEqual({ [ada]: 2, [bob]: 2, all: 3 });
    expect(Object.fromEntries(running)).toEqual({ [ada]: 0, [bob]: 0, all: 0 });
  });

  it('of other clients go on while a client waits for its own', async () => {
    const { verifier, runs, open } = counted({ concurrency: 3 });
    const [adas, bobs] = [await credential(ada, 1), await credential(bob, 1)];
    const flood = Array.from({ length: 5 }, () => verdict(verifier, ada, mintSecret(ada, keys), [adas.stored]));
    const login = verdict(verifier, bob, bobs.secret, [bobs.stored]);
    expect(runs.map((run) => run.verifier)).toEqual([adas, adas, bobs].map(({ stored }) => stored.verifier));
    open();
    expect(await login).toBe(1);
    expect(await Promise.all(flood)).toEqual(Array(5).fill(undefined));
  });
});

describe('a full queue', () => {
  it('refuses the client that fills it, but not other clients or remembered pairs', async () => {
    const [adas, bobs] = [await credential(ada, 1), await credential(bob, 1)];
    const { verifier, runs, open } = counted({ concurrency: 3, maxWaitingPerClient: 2 });
    const guesses = Array.from({ length: 4 }, () => verdict(verifier, ada, mintSecret(ada, keys), [adas.stored]));
    const refusal: unknown = await verdict(verifier, ada, adas.secret, [adas.stored]).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(VerificationBusy);
    expect(inspect(refusal)).not.toContain(adas.secret);
    expect(verifier.load).toEqual({ running: 2, waiting: 2, refused: 1 });
    const login = verdict(verifier, bob, bobs.secret, [bobs.stored]);
    open();
    expect(await login).toBe(1);
    await Promise.all(guesses);
    expect(verifier.load).toEqual({ running: 0, waiting: 0, refused: 1 });
    expect(await verdict(verifier, ada, adas.secret, [adas.stored])).toBe(1);
    expect(runs).toHaveLength(6);
  });

  it('is bounded for all clients together; a remembered pair needs no place in it', async () => {
    const [adas, bobs] = [await credential(ada, 1), await credential(bob, 1)];
    const { gate, open } = shutGate();
    let shut = false;
    const verifier = new CredentialVerifier({
      keys,
      concurrency: 1,
      maxWaiting: 1,
      verifySecret: async (...run) => {
        if (shut) await gate;
        return verifySecret(...run);
      },
    });
    expect(await verdict(verifier, ada, adas.secret, [adas.stored])).toBe(1);
    shut = true;
    const guesses = Array.from({ length: 2 }, () => verdict(verifier, bob, mintSecret(bob, keys), [bobs.stored]));
    await expect(verdict(verifier, bob, bobs.secret, [bobs.stored])).rejects.toThrow(VerificationBusy);
    expect(await verdict(verifier, ada, adas.secret, [adas.stored])).toBe(1);
    open();
    await Promise.all(guesses);
    expect(await verdict(verifier, bob, bobs.secret, [bobs.stored])).toBe(1);
  });
});

it('shows no secret when the verifier is printed', async () => {
  const { secret, stored } = await credential(ada, 1);
  const verifier = new CredentialVerifier({ keys });
  await verdict(verifier, ada, secret, [stored]);
  expect(inspect(verifier, { depth: 9, showHidden: true })).not.toContain(secret);
});
