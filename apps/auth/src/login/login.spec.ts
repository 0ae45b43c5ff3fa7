import type { ActiveClient } from '#domain';
import type { AuthDependencies } from '../dependencies.js';
import type { UsageRecorder } from '../usage/usage-recorder.js';
import { Login } from './login.js';

test('a path that is no endpoint URI is asked of no stream', async () => {
  const read = jest.fn();
  const dependencies = { book: { log: { clockSkewMs: 0 }, endpointUris: { read } } } as unknown as AuthDependencies;
  const login = new Login(dependencies, {} as UsageRecorder);
  for (const path of ['x'.repeat(60_000), 'Weather', '..', '%2e%2e', 'weather%00']) {
    const refused = login.login({ client: {} as ActiveClient, generation: 1 }, undefined, path, 'request-1');
    await expect(refused).rejects.toMatchObject({ code: 'unauthorized_client' });
  }
  expect(read).not.toHaveBeenCalled();
});
