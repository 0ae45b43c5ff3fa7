import { Command } from 'commander';
import { type SigningKey, signingKey, signsFrom } from '#domain';
import { lastTokenEnd } from '#tokens';
import { type ActOptions, reasonOption, subjectOption, withBook, withSigningKeys } from './environment.js';
import { printResult, tableLines } from './output.js';

/** `keys list | rotate | compromise`: an operator's commands on the keys that sign tokens. */
export const keysCommand = (): Command =>
  new Command('keys')
    .description('the keys that tokens are signed with')
    .addCommand(
      new Command('list').description('every key, oldest first').action(async () => {
        const { keys } = await withBook(async ({ signingKeys }) => (await signingKeys.read()).state);
        printResult(keys.map(shown), tableLines(COLUMNS, keys.map(cellsOf)));
      }),
    )
    .addCommand(
      new Command('rotate')
        .description('publish the next key (TOKEN_ALG); it signs by itself when every verifier can have it')
        .addOption(reasonOption())
        .addOption(subjectOption())
        .action(async (options: ActOptions) => {
          const key = await withSigningKeys('ROTATE', options, (operations) => operations.rotate());
          printResult(shown(key), tableLines(COLUMNS, [cellsOf(key)]));
        }),
    )
    .addCommand(
      new Command('compromise')
        .description('give up a key: every token that it signed is refused from now on, and another key signs')
        .argument('<kid>')
        .addOption(reasonOption())
        .addOption(subjectOption())
        .action(async (kid: string, options: ActOptions) => {
          const state = await withSigningKeys('COMPROMISE', options, (operations) => operations.compromise(kid));
          const found = [state.keys.find((each) => each.kid === kid), signingKey(state)];
          const keys = found.filter((key) => key !== undefined);
          printResult(keys.map(shown), tableLines(COLUMNS, keys.map(cellsOf)));
        }),
    );

/** The fields of a key that may be printed: all but the wrapped private key. */
const shown = ({ kid, alg, status, publishedAt, activatedAt, retiredAt, compromisedAt }: SigningKey) => ({
  ...{ kid, alg, status, publishedAt, activatedAt, retiredAt, compromisedAt },
  ...(status === 'RETIRED' && retiredAt !== undefined && { inJwksUntil: lastTokenEnd(retiredAt) }),
});

const COLUMNS = ['KID', 'ALG', 'STATUS', 'SINCE'];

const cellsOf = (key: SigningKey): string[] => [key.kid, key.alg, key.status, since(key)];

const since = (key: SigningKey): string => {
  const { publishedAt, activatedAt, retiredAt, compromisedAt } = key;
  if (compromisedAt !== undefined) return compromisedAt;
  if (retiredAt !== undefined) return `${retiredAt}, in the JWKS until ${lastTokenEnd(retiredAt)}`;
  if (activatedAt !== undefined) return activatedAt;
  return `${publishedAt}, signs from ${signsFrom(key)}`;
};
