import { clientNamed, WORKSPACE } from '../../../../test/replay/stage.js';
import type { ManagementDependencies } from '../dependencies.js';
import { GetEvidence, GetEvidenceHandler } from './get-evidence.js';

it('makes four bundles at once, refuses more, and makes another when one is done', async () => {
  const waiting: ((error: Error) => void)[] = [];
  const readStream = () => new Promise((_, reject) => waiting.push(reject));
  const dependencies = { book: { log: { readStream } }, tree: { signer: {} }, clock: () => new Date() };
  const handler = new GetEvidenceHandler(dependencies as unknown as ManagementDependencies);
  const ask = () =>
    handler.execute(new GetEvidence(WORKSPACE, clientNamed('x'), undefined, new AbortController().signal));
  const answers = Array.from({ length: 4 }, () => ask().catch((error: unknown) => error));
  await expect(ask()).rejects.toMatchObject({ kind: 'unavailable', code: 'busy', retryAfterSeconds: 1 });
  waiting[0]?.(new Error('over'));
  expect(await answers[0]).toMatchObject({ message: 'over' });
  const next = ask().catch((error: unknown) => error);
  for (const reject of waiting) reject(new Error('over'));
  expect(await next).toMatchObject({ message: 'over' });
});
