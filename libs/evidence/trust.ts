import { WrongArgument } from './faults.js';
import { isSigned, linesOf, type TrustedKey, trustedKey } from './signed-note.js';
import { textOf } from './text-forms.js';
import { parseTreeHead, type SignedTreeHead } from './tree-head.js';
import { parsePolicy, type WitnessPolicy } from './witness-policy.js';

/** What the caller knows from another source than the bundle, and asks of it. */
export interface TrustArguments {
  /** vkeys: one of a log, and any number of cosigners. */
  readonly keys: readonly string[];
  /** A signed tree head that the caller holds: the bundle's head must extend it. */
  readonly since?: Uint8Array;
  /** A C2SP tlog-policy: whose cosignatures the caller wants. */
  readonly policy?: Uint8Array;
  /** In seconds: how old the head may be. */
  readonly maxAge?: number;
  /** The client whose history it must be. */
  readonly clientId?: string;
  /** The time of the verification, in POSIX seconds. */
  readonly now: number;
}

/** The arguments, parsed and verified. */
export interface Trust extends Pick<TrustArguments, 'maxAge' | 'clientId' | 'now'> {
  readonly logKey: TrustedKey;
  readonly cosigners: readonly TrustedKey[];
  readonly since?: SignedTreeHead;
  readonly policy?: WitnessPolicy;
}

/** Throws `WrongArgument`. */
export function trustFrom({ keys, since, policy, ...rest }: TrustArguments): Trust {
  const trusted = keys.map(trustedKey);
  const [logKey, ...others] = trusted.filter(({ role }) => role === 'LOG');
  if (!logKey || others.length > 0) throw new WrongArgument('Give the key of one log (type 1), and of no second one');
  return {
    ...rest,
    logKey,
    cosigners: trusted.filter(({ role }) => role === 'COSIGNER'),
    ...(since && { since: heldHead(since, logKey) }),
    ...(policy && { policy: policyFrom(policy) }),
  };
}

function policyFrom(bytes: Uint8Array): WitnessPolicy {
  const text = textOf(bytes);
  if (text === undefined) throw new WrongArgument('The policy is not UTF-8');
  return parsePolicy(text);
}

function heldHead(bytes: Uint8Array, logKey: TrustedKey): SignedTreeHead {
  const head = parseTreeHead(bytes);
  if (!head) throw new WrongArgument('The head to compare with is no tree head');
  if (head.origin !== logKey.name) throw new WrongArgument(`The head to compare with is one of ${head.origin}`);
  const lines = linesOf(head.note, logKey);
  if (lines.length === 0 || !lines.every((line) => isSigned(line, head.note.text, logKey))) {
    throw new WrongArgument('The head to compare with is not signed by this key');
  }
  return head;
}
