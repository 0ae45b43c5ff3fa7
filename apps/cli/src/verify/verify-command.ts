import { readFile } from 'node:fs/promises';
import { type Command, type CommanderError, createCommand, InvalidArgumentError } from 'commander';
import { type Claim, trustFrom, UnreadableBundle, type Verdict, verifyEvidence, WrongArgument } from '#evidence';
import { systemClock } from '#platform/without-http';
import { clientIdIn } from '../client-id.js';
import { printResult } from '../output.js';
import { bundleAt } from './bundle-files.js';

/** The exit codes of `verify`, which docs/evidence.md fixes for every verifier. */
const VerifyExitCode = { HOLDS: 0, DOES_NOT_HOLD: 1, USAGE: 2, UNREADABLE: 3, NOT_ENOUGH: 4 } as const;

const EXIT_CODES_HELP = `
Exit codes of this command:
  0    the evidence holds
  1    it does not hold
  2    the arguments are wrong
  3    the bundle can't be read
  4    it holds, but does not meet your --policy or --max-age`;

interface VerifyOptions {
  readonly key: readonly string[];
  readonly since?: string;
  readonly policy?: string;
  readonly maxAge?: number;
  readonly client?: string;
}

/** `verify`: verifies the evidence about a client, without the service and without a network. */
export const verifyCommand = (): Command =>
  createCommand('verify')
    .description('verify the evidence about a client; needs no service, no DATA_DIR and no network')
    .argument('<bundle>', 'the file, or the directory, of the evidence')
    .requiredOption(
      '--key <vkey>',
      "the log's public key, which you have from another source than the bundle; repeat it for those of cosigners",
      (value: string, before: readonly string[] | undefined) => [...(before ?? []), value],
    )
    .option('--since <file>', 'a tree head that you hold (a checkpoint of an earlier bundle): this one must extend it')
    .option('--policy <file>', 'whose cosignatures you want (C2SP tlog-policy)')
    .option('--max-age <age>', 'how old the tree head may be, such as 36h (s, m, h, d)', seconds)
    .option('--client <id>', 'whose history it must be', clientIdIn)
    .addHelpText('after', EXIT_CODES_HELP)
    .action(verified);

/** Gives errors of usage the exit code that verifiers of evidence have for them. */
export function throwVerifyUsage(error: CommanderError): never {
  if (error.exitCode !== 0) error.exitCode = VerifyExitCode.USAGE;
  throw error;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

function seconds(value: string): number {
  const [, digits = '', unit = ''] = /^(0|[1-9]\d{0,8})([smhd])$/.exec(value) ?? [];
  const factor = UNITS[unit];
  if (factor === undefined) throw new InvalidArgumentError('It must be a number and s, m, h or d, such as 36h.');
  return Number(digits) * factor;
}

async function verified(bundle: string, { key, since, policy, maxAge, client }: VerifyOptions): Promise<void> {
  try {
    const trust = trustFrom({
      ...{ keys: key, now: Math.floor(systemClock().getTime() / 1000) },
      ...(since !== undefined && { since: await argumentFile('--since', since) }),
      ...(policy !== undefined && { policy: await argumentFile('--policy', policy) }),
      ...(maxAge !== undefined && { maxAge }),
      ...(client !== undefined && { clientId: client }),
    });
    const verdict = verifyEvidence(await bundleAt(bundle), trust);
    printResult(verdict, linesOf(verdict));
    process.exitCode = VerifyExitCode[verdict.result];
  } catch (error) {
    if (error instanceof WrongArgument) process.exitCode = VerifyExitCode.USAGE;
    else if (error instanceof UnreadableBundle) process.exitCode = VerifyExitCode.UNREADABLE;
    else throw error;
    console.error(error instanceof UnreadableBundle ? `${bundle} can't be read: ${error.message}` : error.message);
  }
}

/** Throws `WrongArgument`. */
async function argumentFile(option: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new WrongArgument(`${option}: ${error instanceof Error ? error.message : 'it is not readable'}`);
  }
}

const LABELS: Readonly<Record<Claim['claim'], string>> = {
  SIGNATURE: 'signature',
  TREE_HEAD: 'tree head',
  EXTENDS: 'since',
  EVENTS: 'events',
  CHAIN: 'chain',
  STATEMENT: 'statement',
  COSIGNED: 'cosigned',
  POLICY: 'policy',
  AGE: 'age',
};

const linesOf = ({ result, fault, shortfall, claims, notProved }: Verdict): string[] => [
  ...claims.map(({ claim, text }) => `${LABELS[claim]}: ${text}`),
  ...notProved.map((text) => `not proved: ${text}`),
  ...(result === 'HOLDS' ? ['The evidence holds.'] : []),
  ...(fault ? [`THE EVIDENCE DOES NOT HOLD: ${fault.name} in ${fault.file}: ${fault.reason}`] : []),
  ...(shortfall ? [`The evidence holds, but is not enough: ${shortfall.name}: ${shortfall.reason}`] : []),
];
