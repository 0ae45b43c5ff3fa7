import { WrongArgument } from './faults.js';
import { type KeyRole, type TrustedKey, trustedKey } from './signed-note.js';

/** A policy (C2SP tlog-policy): whose heads, cosigned by whom, are enough. */
export interface WitnessPolicy {
  /** If empty, any log is right: the caller knows which one by its key. */
  readonly logs: readonly TrustedKey[];
  readonly witnesses: ReadonlyMap<string, TrustedKey>;
  /** Whether cosignatures of these witnesses, by their names in the policy, meet the quorum. */
  readonly isMetBy: (cosigners: ReadonlySet<string>) => boolean;
}

/** Returns whether a witness or a group has witnessed a head, given the names of the witnesses that cosigned it. */
type Judge = (cosigners: ReadonlySet<string>) => boolean;

/** Reads a policy. Throws `WrongArgument`, with the number of the line. */
export function parsePolicy(text: string): WitnessPolicy {
  const logs: TrustedKey[] = [];
  const witnesses = new Map<string, TrustedKey>();
  const judges = new Map<string, Judge>();
  const members = new Set<string>();
  let quorum: Judge | undefined;

  const define = (name: string, judge: Judge) => {
    if (judges.has(name) || name === 'none') throw new WrongArgument(`the name ${name} can't be defined`);
    judges.set(name, judge);
  };
  const defined = (name: string): Judge => {
    const judge = judges.get(name);
    if (!judge) throw new WrongArgument(`${name} is not defined above`);
    return judge;
  };
  const newKey = (vkey: string, role: KeyRole, known: Iterable<TrustedKey>): TrustedKey => {
    const key = trustedKey(vkey);
    if (key.role !== role) throw new WrongArgument(`the key of ${key.name} has another type`);
    for (const { publicKeyHex } of known) {
      if (publicKeyHex === key.publicKeyHex) throw new WrongArgument(`the key of ${key.name} stands there twice`);
    }
    return key;
  };
  const groupOf = (threshold: string, names: readonly string[]): Judge => {
    const judgesOfGroup = names.map((name) => {
      if (members.has(name)) throw new WrongArgument(`${name} is in two groups, or twice in one`);
      members.add(name);
      return defined(name);
    });
    const needed = threshold === 'all' ? names.length : threshold === 'any' ? 1 : Number(threshold);
    if (!/^(?:all|any|[1-9][0-9]{0,5})$/.test(threshold) || needed > names.length || names.length === 0) {
      throw new WrongArgument(`${threshold} of ${names.length} members is no threshold`);
    }
    return (cosigners) => judgesOfGroup.filter((judge) => judge(cosigners)).length >= needed;
  };

  const readLine = ([keyword, ...words]: readonly string[]) => {
    const [first = '', second = '', ...rest] = words;
    if (keyword === 'log' && (words.length === 1 || words.length === 2)) {
      logs.push(newKey(first, 'LOG', logs));
    } else if (keyword === 'witness' && (words.length === 2 || words.length === 3)) {
      witnesses.set(first, newKey(second, 'COSIGNER', witnesses.values()));
      define(first, (cosigners) => cosigners.has(first));
    } else if (keyword === 'group' && words.length >= 3) {
      define(first, groupOf(second, rest));
    } else if (keyword === 'quorum' && words.length === 1 && !quorum) {
      quorum = first === 'none' ? () => true : defined(first);
    } else {
      throw new WrongArgument('this is no line of a policy');
    }
  };

  for (const [index, line] of text.split('\n').entries()) {
    const words = line.split(/[ \t]+/).filter((word) => word !== '');
    try {
      // eslint-disable-next-line no-control-regex -- of these, only tabs may be in a policy
      if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(line)) throw new WrongArgument('a control character');
      if (words.length > 0 && !words[0]?.startsWith('#')) readLine(words);
    } catch (error) {
      if (!(error instanceof WrongArgument)) throw error;
      throw new WrongArgument(`Line ${index + 1} of the policy: ${error.message}`);
    }
  }
  if (!quorum) throw new WrongArgument('The policy has no line with a quorum');
  return { logs, witnesses, isMetBy: quorum };
}
