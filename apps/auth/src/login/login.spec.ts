import type { ActiveClient, SigningKeysState } from '#domain';
import type { AuthDependencies } from '../dependencies.js';
import { RequestedEndpoint } from './endpoint-owner.js';
import { Login } from './login.js';
import { UnrecordedUsage } from './unrecorded-usage.js';

test('for a path that is no endpoint URI no stream is read', async () => {
  const read = jest.fn();
  const book = { log: { clockSkewMs: 0 }, endpointUris: { read } };
  const [client, keys] = [{} as ActiveClient, Promise.resolve({} as SigningKeysState)];
  const login = new Login({ book, now: () => '' } as unknown as AuthDependencies, new UnrecordedUsage());
  for (const path of ['x'.repeat(60_000), 'Weather', '..', '%2e%2e', 'weather%00']) {
    const endpoint = new RequestedEndpoint(book as never, path);
    endpoint.begin();
    const refused = login.login({ client, generation: 1, keys }, undefined, endpoint, 'request-1');
    await expect(refused).rejects.toMatchObject({ code: 'unauthorized_client' });
  }
  expect(read).not.toHaveBeenCalled();
});
