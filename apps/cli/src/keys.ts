import { Command } from 'commander';
import { type SigningKey, signingKey, signsFrom } from '#domain';
import { lastTokenEnd } from '#tokens';
import { subjectOption, withBook, withSigningKeys } from './environment.js';
import { printResult } from './output.js';

interface SubjectOptions {
  readonly subject: string;
}

/** `keys list | rotate | compromise`: an operator's commands on the keys that sign tokens. */
export const keysCommand = (): Command =>
  new Command('keys')
    .description('the keys that tokens are signed with')
    .addCommand(
      new Command('list').description('every key, oldest first').action(async () => {
        const { keys } = await withBook(async ({ signingKeys }) => (await signingKeys.read()).state);
        printResult(keys.map(shown), keys.map(lineOf));
      }),
    )
    .addCommand(
      new Command('rotate')
        .description('publish the next key (TOKEN_ALG); it signs by itself when every verifier can have it')
        .addOption(subjectOption())
        .action(async ({ subject }: SubjectOptions) => {
          const key = await withSigningKeys(subject, (operations) => operations.rotate());
          printResult(shown(key), [lineOf(key)]);
        }),
    )
    .addCommand(
      new Command('compromise')
        .description('give up a key: every token that it signed is refused from now on, and another key signs')
        .argument('<kid>')
        .addOption(subjectOption())
        .action(async (kid: string, { subject }: SubjectOptions) => {
          const state = await withSigningKeys(subject, (operations) => operations.compromise(kid));
          const found = [state.keys.find((each) => each.kid === kid), signingKey(state)];
          const keys = found.filter((key) => key !== undefined);
          printResult(keys.map(shown), keys.map(lineOf));
        }),
    );

/** The fields of a key that may be printed: all but the wrapped private key. */
const shown = ({ kid, alg, status, publishedAt, activatedAt, retiredAt, compromisedAt }: SigningKey) => ({
  ...{ kid, alg, status, publishedAt, activatedAt, retiredAt, compromisedAt },
  ...(status === 'RETIRED' && retiredAt !== undefined && { inJwksUntil: lastTokenEnd(retiredAt) }),
});

const lineOf = (key: SigningKey): string => [key.kid, key.alg, key.status.padEnd(11), since(key)].join('  ');

const since = (key: SigningKey): string => {
  const { publishedAt, activatedAt, retiredAt, compromisedAt } = key;
  if (compromisedAt !== undefined) return `since ${compromisedAt}`;
  if (retiredAt !== undefined) return `since ${retiredAt}, in the JWKS until ${lastTokenEnd(retiredAt)}`;
  if (activatedAt !== undefined) return `since ${activatedAt}`;
  return `since ${publishedAt}, signs from ${signsFrom(key)}`;
};
