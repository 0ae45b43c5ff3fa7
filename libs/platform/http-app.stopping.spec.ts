import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A process with one slow route. The program prints a line when Nest closes its module. */
const PROGRAM = `
  const { Module } = require('@nestjs/common');
  const { configurationFrom, createHttpApplication, createLogger } = require('#platform');
  class Shop { onModuleDestroy() { console.log('closed'); } }
  Module({})(Shop);
  void (async () => {
    const app = await createHttpApplication(Shop, configurationFrom({ PORT: '0' }), createLogger('silent'));
    app.nest.getHttpAdapter().getInstance().get('/slow', async () => {
      console.log('started');
      await new Promise((resolve) => process.stdin.once('data', resolve));
      console.log('finished');
      return 'done';
    });
    app.closeOnSignals();
    console.log(await app.listen());
  })();
`;

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  it('lets an accepted request finish, closes the modules after it, and ends the process with 0', async () => {
    const child = spawn(process.execPath, ['-e', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const output = createInterface(child.stdout)[Symbol.asyncIterator]();
    const nextLine = async () => String((await output.next()).value);
    const url = await nextLine();
    const answer = fetch(`${url}/slow`);
    expect(await nextLine()).toBe('started');
    child.kill(signal);
    await refusesConnections(url);
    child.stdin.write('go on\n');
    expect(await (await answer).text()).toBe('done');
    expect(await nextLine()).toBe('finished');
    expect(await nextLine()).toBe('closed');
    expect(await exited).toEqual([0, null]);
  });
});

const refusesConnections = async (url: string) => {
  while (
    await fetch(`${url}/health/live`, { headers: { connection: 'close' } }).then(
      () => true,
      () => false,
    )
  );
};
