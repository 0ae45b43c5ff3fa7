import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { Module } from '@nestjs/common';
import {
  BeforeFastify,
  configurationFrom,
  createHttpApplication,
  createLogger,
  type HttpApplication,
  Problem,
} from '#platform';
import { FastPath, type FastRequest, type Handler } from './fast-path.js';

const SECRET = 'ccs_NotForAnyone';
const MAX_BYTES = 1000;

@Module({})
class Shop {}

let app: HttpApplication;
let url: string;
let lines: Record<string, unknown>[];
/** Returns the body for the answer to a request to `/asked/…`. Each test sets this function. */
let answer: (request: FastRequest) => string | Promise<string>;

beforeEach(async () => {
  lines = [];
  const logger = createLogger('info', { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const configuration = configurationFrom({ PORT: '0', HOST: 'localhost', TRUSTED_PROXIES: '127.0.0.1,::1' });
  app = await createHttpApplication(Shop, configuration, logger);
  const handler: Handler = (request) => {
    const given = answer(request);
    const facts = { authCode: 'GOOD' };
    const answered = (body: string) => ({ status: 200, headers: ['content-type', 'text/plain'], body, facts });
    return given instanceof Promise ? given.then(answered) : answered(given);
  };
  const { trustedProxies } = configuration;
  const platform = app.nest.get(BeforeFastify);
  const routes = [{ method: 'ANY', path: '/asked/*', handler }] as const;
  platform.add(new FastPath({ routes, platform, trustedProxies, logger }).handle);
  url = await app.listen();
});
afterEach(() => app.close());

const ask = (path = '/asked/anything', init: RequestInit = {}) => fetch(`${url}${path}`, init);
const bytes = async (request: FastRequest) => String((await request.body(MAX_BYTES)).length);
/** Returns the number of bytes in the body, or the code of the error if the body was refused. */
const refusalOf = (request: FastRequest) =>
  bytes(request).catch((error: unknown) => (error instanceof Problem ? error.code : String(error)));

describe('a fast route', () => {
  it('sees the request as it was sent, and answers at once or later, for any method', async () => {
    answer = ({ method, target, rawHeaders }) => [method, target, rawHeaders.includes('X-Mine')].join(' ');
    const headers = { 'X-Mine': '1' };
    expect(await (await ask('/asked/..%2f/a?b=c', { method: 'PROPFIND', headers })).text()).toBe(
      'PROPFIND /asked/..%2f/a?b=c true',
    );
    answer = async ({ target }) => Promise.resolve(target);
    const answered = await ask('/asked/é');
    expect([answered.headers.get('content-length'), await answered.text()]).toEqual(['13', '/asked/%C3%A9']);
    answer = () => 'no one sees it';
    expect(await (await ask('/asked/a', { method: 'HEAD' })).text()).toBe('');
  });

  it('leaves every other path to the application', async () => {
    answer = () => 'asked';
    for (const path of ['/asked', '/askedd', '/x/asked/', '/%61sked/a']) expect((await ask(path)).status).toBe(404);
    expect((await ask('/health/live')).status).toBe(200);
  });

  it('has the same ids, headers, measurements and log lines as every answer', async () => {
    answer = () => 'é';
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    const given = { 'x-request-id': 'mine', traceparent };
    const { headers } = await ask('/asked/a?token=secret', { headers: given });
    const usual = (await ask('/health/live')).headers;
    for (const name of ['x-content-type-options', 'x-frame-options', 'referrer-policy']) {
      expect(headers.get(name)).toBe(usual.get(name));
    }
    expect([headers.get('x-request-id'), headers.get('content-length')]).toEqual(['mine', '2']);
    expect(lines.filter(({ msg }) => msg === 'request')).toMatchObject([
      { requestId: 'mine', traceId, method: 'GET', route: '/asked', status: 200, authCode: 'GOOD' },
    ]);
    const metrics = await (await ask('/metrics')).text();
    expect(metrics).toContain('http_request_duration_seconds_count{method="GET",route="/asked",status="200"} 1');
  });

  it('reveals nothing about its failures, which are logged', async () => {
    for (const fails of [
      () => {
        throw new Error(SECRET);
      },
      () => Promise.reject(new Error(SECRET)),
    ]) {
      answer = fails;
      const answered = await ask();
      expect([answered.status, await answered.text()]).toEqual([500, '']);
      const error = lines.find(({ level, requestId }) => level === 'error' && requestId !== undefined);
      expect(error).toMatchObject({ requestId: answered.headers.get('x-request-id'), err: { message: SECRET } });
      lines = [];
    }
  });

  it('sees the caller’s address behind trusted proxies', async () => {
    answer = ({ address }) => address;
    const headers = { 'x-forwarded-for': '198.51.100.1, 203.0.113.7' };
    expect(await (await ask('/asked/a', { headers })).text()).toBe('203.0.113.7');
    for (const [given, address] of [
      ['198.51.100.1, 203.0.113.7:4711', '203.0.113.7'],
      ['203.0.113.7:4711, 127.0.0.1:80', '203.0.113.7'],
      ['[2001:db8::7]:4711, [::1]:80', '2001:db8::7'],
      ['[2001:db8::7], 127.0.0.1', '2001:db8::7'],
      ['2001:db8::7', '2001:db8::7'],
      ['nobody:80', 'nobody:80'],
    ] as const) {
      expect(await (await ask('/asked/a', { headers: { 'x-forwarded-for': given } })).text()).toBe(address);
    }
  });

  it('answers requests that were sent without waiting in their order, whatever characters the answers have', async () => {
    let release: (body: string) => void = () => undefined;
    const texts = ['first: é€😀', 'second', '', 'last: ÿ'];
    answer = ({ target }) => {
      if (target.endsWith('0')) return new Promise((resolve) => (release = resolve));
      if (target.endsWith('3')) release(texts[0] ?? '');
      return texts[Number(target.slice(-1))] ?? '';
    };
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const ending = (i: number) => (i === 3 ? 'Connection: close\r\n' : '');
    for (const i of [0, 1, 2, 3]) socket.write(`GET /asked/${i} HTTP/1.1\r\nHost: a\r\n${ending(i)}\r\n`);
    const bodies = (await text(socket)).split(/HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\n/);
    expect(bodies).toEqual(['', ...texts]);
  });

  it('is served at every address of localhost', async () => {
    answer = () => 'here';
    for (const { address, family } of await lookup('localhost', { all: true })) {
      const { port } = new URL(url);
      const answered = await fetch(`http://${family === 6 ? `[${address}]` : address}:${port}/asked/a`);
      expect(await answered.text()).toBe('here');
    }
  });
});

describe('its body', () => {
  const send = (body: string | ReadableStream) =>
    ask('/asked/a', { method: 'POST', body, ...(typeof body !== 'string' && { duplex: 'half' }) });
  const stream = (...chunks: string[]) => new Blob(chunks).stream();

  it('is read whole up to its limit, with a length or in chunks', async () => {
    answer = refusalOf;
    expect(await (await send('x'.repeat(MAX_BYTES))).text()).toBe('1000');
    expect(await (await send(stream('x'.repeat(400), 'y'.repeat(600)))).text()).toBe('1000');
    expect(await (await ask('/asked/a', { method: 'POST' })).text()).toBe('0');
  });

  it('is refused beyond the limit, and the connection stays open', async () => {
    answer = refusalOf;
    expect(await (await send('x'.repeat(MAX_BYTES + 1))).text()).toBe('BODY_TOO_LARGE');
    expect(await (await send(stream('x'.repeat(400), 'y'.repeat(601)))).text()).toBe('BODY_TOO_LARGE');
    expect(await (await send('x'.repeat(300_000))).text()).toBe('BODY_TOO_LARGE');
    expect(await (await send('x')).text()).toBe('1');
  });

  it('that breaks off is the caller’s fault', async () => {
    const refusal = new Promise<string>((resolve) => {
      answer = async (request) => {
        const code = await refusalOf(request);
        resolve(code);
        return code;
      };
    });
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write('POST /asked/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf', () => socket.destroy());
    expect(await refusal).toBe('MALFORMED_REQUEST');
    expect(lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

it('an app that stops finishes what it has accepted, and ends the connection', async () => {
  let finish: (text: string) => void = () => undefined;
  const started = new Promise<void>((resolve) => {
    answer = () => {
      resolve();
      return new Promise((finished) => (finish = finished));
    };
  });
  const accepted = ask();
  await started;
  const stopped = app.close();
  finish('done');
  const answered = await accepted;
  expect([answered.headers.get('connection'), await answered.text()]).toEqual(['close', 'done']);
  await stopped;
});
