import { connect } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Body, Controller, Get, HttpException, Module, type OnModuleDestroy, Param, Post, Query } from '@nestjs/common';
import { Type } from 'class-transformer';
import { IsArray, IsInt, IsOptional, IsString, Length, Max, ValidateNested } from 'class-validator';
import {
  type Configuration,
  configurationFrom,
  createHttpApplication,
  createLogger,
  Degraded,
  type HttpApplication,
  MayBeAbsent,
  NoAnswer,
  Problem,
  ReadinessChecks,
  Starting,
  StoreOutages,
} from '#platform';

class Endpoint {
  @IsString() uri!: string;
}
class OrderBody {
  @IsString() @Length(1, 10) name!: string;
  @MayBeAbsent() @IsInt() seconds?: number;
  @IsOptional() @IsArray() @ValidateNested({ each: true }) @Type(() => Endpoint) endpoints?: Endpoint[];
}
class PageQuery {
  @IsOptional() @Type(() => Number) @IsInt() @Max(200) limit?: number;
}
class OrderPath {
  @Length(1, 4) id!: string;
}

const SECRET = 'ccs_SuperSecretInAnUnforeseenError';
const FAILURES: Record<string, () => Error> = {
  unforeseen: () => new Error(SECRET),
  away: () => new Problem(503, 'WAREHOUSE_AWAY', 'try again'),
  limited: () => new Problem(429, 'RATE_LIMITED', 'wait', { headers: { 'Retry-After': '7' } }),
  foreign: () => new HttpException(SECRET, 418),
};

/** A promise (`given`), and the function that resolves the promise (`give`). */
const signal = () => {
  let give: () => void = () => undefined;
  const given = new Promise<void>((resolve) => (give = resolve));
  return { give, given };
};
const slow = { started: signal(), finish: signal() };
const closed: string[] = [];

@Controller('orders')
class Orders implements OnModuleDestroy {
  @Post()
  create(@Body() body: OrderBody) {
    return { isInstance: body instanceof OrderBody, body };
  }
  @Get()
  list(@Query() query: PageQuery) {
    return query;
  }
  @Get('slow')
  async slow() {
    slow.started.give();
    await slow.finish.given;
    return { closedBefore: [...closed] };
  }
  @Get('fails/:how')
  fail(@Param('how') how: string) {
    throw FAILURES[how]?.() ?? new Error(how);
  }
  @Get(':id')
  one(@Param() path: OrderPath) {
    return path;
  }
  onModuleDestroy() {
    closed.push('orders');
  }
}

@Module({ controllers: [Orders] })
class Shop {}

let app: HttpApplication;
let url: string;
let lines: Record<string, unknown>[];

const start = async (changes: Partial<Configuration> = {}) => {
  lines = [];
  const logger = createLogger('info', { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const configuration = { ...configurationFrom({ PORT: '0' }), ...changes };
  app = await createHttpApplication(Shop, configuration, logger, [], new StoreOutages(logger, 0));
  url = await app.listen();
};

const post = (body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(`${url}/orders`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });

/** Expects a problem (RFC 9457) that contains the id of its request. Returns the answer's status and body. */
const problem = async (answer: Promise<Response>) => {
  const response = await answer;
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const body = (await response.json()) as Record<string, unknown>;
  expect(body).toMatchObject({ type: 'about:blank', status: response.status, title: expect.any(String) as string });
  expect(body.requestId).toBe(response.headers.get('x-request-id'));
  expect(JSON.stringify(body)).not.toMatch(/node_modules|\bat .*\.[jt]s:/);
  return { response, body, status: response.status, code: body.code, fields: fieldsOf(body) };
};
const fieldsOf = ({ errors = [] }: { errors?: { field: string }[] }) => errors.map(({ field }) => field);

describe('an app', () => {
  beforeAll(() => start());
  afterAll(() => app.close());

  it('gives handlers a validated instance of their body', async () => {
    const answer = await post('{"name":"tea","seconds":3,"endpoints":[{"uri":"a"}]}');
    expect(answer.status).toBe(201);
    expect(await answer.json()).toEqual({
      isInstance: true,
      body: { name: 'tea', seconds: 3, endpoints: [{ uri: 'a' }] },
    });
  });

  it('takes +json, a UTF-8 charset in any spelling, and a byte order mark', async () => {
    for (const type of [
      'application/merge-patch+json',
      'application/json; charset="UTF-8"',
      'Application/JSON;charset=utf8',
    ]) {
      expect((await post('\ufeff{"name":"tea"}', { 'content-type': type })).status).toBe(201);
    }
  });

  it.each([
    ['cut off', '{"name":"tea"'],
    ['not JSON', 'name=tea'],
    ['followed by more', '{"name":"tea"} {}'],
    ['not UTF-8', Buffer.from([...Buffer.from('{"name":"'), 0xff, ...Buffer.from('"}')])],
    ['overlong UTF-8', Buffer.from([...Buffer.from('{"name":"'), 0xc0, 0xaf, ...Buffer.from('"}')])],
  ])('refuses a body that is %s', async (_what, body) => {
    expect(await problem(post(body))).toMatchObject({ status: 400, code: 'MALFORMED_JSON', fields: [] });
  });

  it.each([
    ['an array', '[{"name":"tea"}]', 'body'],
    ['null', 'null', 'body'],
    ['a string', '"tea"', 'body'],
    ['a missing field', '{}', 'name'],
    ['a wrong type', '{"name":7}', 'name'],
    ['no conversion of numbers', '{"name":"tea","seconds":"3"}', 'seconds'],
    ['a number beyond all', '{"name":"tea","seconds":1e999}', 'seconds'],
    ['null for a field that may be absent', '{"name":"tea","seconds":null}', 'seconds'],
    ['an unknown field', '{"name":"tea","price":1}', 'price'],
    ['a nested field', '{"name":"tea","endpoints":[{"uri":"a"},{"uri":1}]}', 'endpoints[1].uri'],
    ['an unknown nested field', '{"name":"tea","endpoints":[{"uri":"a","x":1}]}', 'endpoints[0].x'],
    ['a field given twice', '{"name":"tea","name":"tea"}', 'name'],
    ['a field given twice in escapes', '{"name":"tea","n\\u0061me":"coffee"}', 'name'],
    [
      'a nested field given twice',
      '{"name":"a:b","endpoints":[{"uri":"\\":"},{"uri":"b","uri":{"c":1}}]}',
      'endpoints[1].uri',
    ],
    ['a prototype', '{"name":"tea","__proto__":{"admin":true}}', '__proto__'],
    ['a nested prototype', '{"name":"tea","endpoints":[{"uri":"a","__proto__":1}]}', 'endpoints[0].__proto__'],
    [
      'a nested name that Nest would drop',
      '{"name":"tea","endpoints":[{"uri":"a","prototype":1}]}',
      'endpoints[0].prototype',
    ],
    ['a constructor', '{"name":"tea","constructor":{"prototype":{"admin":true}}}', 'constructor'],
    [
      'a nested name that objects inherit',
      '{"name":"tea","endpoints":[{"uri":"a","toString":1}]}',
      'endpoints[0].toString',
    ],
    ['half a character', '{"name":"\\ud800"}', 'name'],
  ])('names the field: %s', async (_what, body, field) => {
    expect(await problem(post(body))).toMatchObject({ status: 400, code: 'VALIDATION_FAILED', fields: [field] });
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it('says in plain words that a field is unknown', async () => {
    const { body } = await problem(post('{"name":"tea","endpoints":[{"uri":"a","x":1}],"price":1}'));
    const message = 'this request has no such field';
    expect(body.errors).toEqual([
      { field: 'price', message },
      { field: 'endpoints[0].x', message },
    ]);
  });

  it('refuses deep nesting, also when it is as deep as a body can be', async () => {
    const nested = (levels: number) => `{"name":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    expect(await problem(post(nested(31)))).toMatchObject({ status: 400, fields: ['name'] });
    const tooDeep = await problem(post(nested(32)));
    expect(tooDeep.fields).toEqual([`name${'[0]'.repeat(31)}`]);
    expect(await problem(post(nested(32_000)))).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' });
  });

  it('does not echo endless names', async () => {
    const { body } = await problem(post(`{"name":"tea","${'x'.repeat(60_000)}":1}`));
    expect(JSON.stringify(body).length).toBeLessThan(60_500);
  });

  it('refuses other encodings, types and sizes', async () => {
    const refused = (headers: Record<string, string>) => problem(post('{"name":"tea"}', headers));
    expect(await refused({ 'content-type': 'application/json; charset=utf-16' })).toMatchObject({ status: 415 });
    expect(await refused({ 'content-encoding': 'gzip' })).toMatchObject({ status: 415 });
    expect(await refused({ 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      code: 'UNSUPPORTED_MEDIA_TYPE',
    });
    expect(await refused({ 'content-type': 'nonsense' })).toMatchObject({ status: 415 });
    const huge = problem(post(`{"name":"${'x'.repeat(70_000)}"}`));
    expect(await huge).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' });
  });

  it.each([
    ['a length', 'Content-Length: 5000000'],
    ['chunks', 'Transfer-Encoding: chunked'],
  ])('lets a huge body with %s arrive, so that its answer is not lost, and goes on', async (_what, framing) => {
    const { socket, seen } = connection();
    socket.write(`POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`);
    const bytes = 'x'.repeat(5_000_000);
    socket.write(framing.includes('chunked') ? `${bytes.length.toString(16)}\r\n${bytes}\r\n0\r\n\r\n` : bytes);
    socket.write('GET /orders/tea HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect((await seen(/HTTP.*HTTP.*}/s)).match(/HTTP\S+ \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
    socket.destroy();
  });

  it('takes an empty body as none', async () => {
    expect(await problem(post(''))).toMatchObject({ status: 400, code: 'VALIDATION_FAILED', fields: ['name'] });
  });

  it('validates queries and path parameters, and converts only what a class says', async () => {
    expect(await (await fetch(`${url}/orders?limit=5`)).json()).toEqual({ limit: 5 });
    for (const query of ['limit=many', 'limit=201', 'limit=1&limit=2']) {
      expect(await problem(fetch(`${url}/orders?${query}`))).toMatchObject({ status: 400, fields: ['limit'] });
    }
    for (const name of ['page', '__proto__', 'prototype', 'constructor', 'toString']) {
      expect(await problem(fetch(`${url}/orders?${name}=1`))).toMatchObject({ status: 400, fields: [name] });
    }
    expect(await problem(fetch(`${url}/orders/too-long`))).toMatchObject({ status: 400, fields: ['id'] });
  });

  it('answers a problem as it is, with its headers', async () => {
    const answer = await problem(fetch(`${url}/orders/fails/limited`));
    expect(answer).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(answer.response.headers.get('retry-after')).toBe('7');
  });

  it('tells nothing of what it did not foresee, and logs it with its stack under the request id', async () => {
    const { body, response } = await problem(fetch(`${url}/orders/fails/unforeseen`));
    expect(Object.keys(body).sort()).toEqual(['code', 'detail', 'requestId', 'status', 'title', 'type']);
    expect(body).toMatchObject({ status: 500, code: 'INTERNAL' });
    expect(JSON.stringify([body, [...response.headers]])).not.toContain(SECRET);
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        requestId: body.requestId,
        err: expect.objectContaining({
          message: SECRET,
          stack: expect.stringContaining('http-app.spec') as string,
        }) as object,
      }),
    );
    const foreign = await problem(fetch(`${url}/orders/fails/foreign`));
    expect(foreign.status).toBe(418);
    expect(JSON.stringify(foreign.body)).not.toContain(SECRET);
  });

  it.each([
    ['an unknown route', '/nowhere', 404, 'NOT_FOUND'],
    ['another case', '/Orders', 404, 'NOT_FOUND'],
    ['a slash at the end', '/orders/', 404, 'NOT_FOUND'],
    ['a bad escape', '/orders/%zz', 400, 'MALFORMED_REQUEST'],
    ['an endless parameter', `/orders/${'x'.repeat(500)}`, 414, 'URI_TOO_LONG'],
  ])('answers %s as a problem that does not repeat it', async (_what, path, status, code) => {
    const answer = await problem(fetch(url + path));
    expect(answer).toMatchObject({ status, code });
    expect(JSON.stringify(answer.body)).not.toContain(path);
  });

  it.each([
    ['no HTTP', 'HELLO\r\n\r\n', 400, 'MALFORMED_REQUEST'],
    ['endless headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
  ])('answers what is %s as a problem, too', async (_what, bytes, status, code) => {
    const [head = '', body = ''] = (await exchange(bytes)).split('\r\n\r\n');
    expect(head).toContain(`HTTP/1.1 ${status} `);
    expect(head).toContain('application/problem+json');
    expect(JSON.parse(body)).toMatchObject({ status, code });
  });

  it('gives every request an id: a fitting one of the caller, else its own', async () => {
    const idFor = async (given?: string) =>
      (
        await fetch(`${url}/health/live`, { headers: given === undefined ? {} : { 'x-request-id': given } })
      ).headers.get('x-request-id');
    expect(await idFor('order-7_a.B')).toBe('order-7_a.B');
    for (const unfit of ['with space', 'x'.repeat(65), 'ü', undefined]) {
      expect(await idFor(unfit)).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('logs a request by its route, with nothing that the caller sent but a fitting id', async () => {
    await fetch(`${url}/orders/tea?limit=${SECRET}`, {
      headers: { authorization: `Bearer ${SECRET}`, 'x-request-id': 'logged' },
    });
    await post(`{"name":"${SECRET}"}`);
    const line = lines.find(({ requestId, msg }) => requestId === 'logged' && msg === 'request');
    expect(line).toMatchObject({
      level: 'info',
      method: 'GET',
      route: '/orders/:id',
      status: 200,
      ms: expect.any(Number) as number,
    });
    expect(
      lines
        .filter(({ err }) => err === undefined)
        .map((l) => JSON.stringify(l))
        .join(),
    ).not.toContain(SECRET);
  });

  it('logs the path of a 404, the code of a problem and the trace id, but no query', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01`, 'x-request-id': 'nowhere' };
    await fetch(`${url}/orderz/7?secret=${SECRET}`, { headers });
    expect(lines.find(({ requestId }) => requestId === 'nowhere')).toMatchObject({
      ...{ route: 'unknown', path: '/orderz/7', status: 404, code: 'NOT_FOUND', traceId },
    });
    expect(JSON.stringify(lines.filter(({ path }) => path !== undefined))).not.toContain(SECRET);
  });

  it('sends the headers that keep browsers from guessing', async () => {
    const { headers } = await fetch(`${url}/nowhere`);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('x-powered-by')).toBeNull();
  });

  it('measures requests by route pattern', async () => {
    await fetch(`${url}/orders/abcd`);
    await fetch(`${url}/never-seen-before`);
    const text = await (await fetch(`${url}/metrics`)).text();
    expect(text).toMatch(/http_request_duration_seconds_count\{method="GET",route="\/orders\/:id",status="200"\} \d/);
    expect(text).toContain('process_resident_memory_bytes');
    expect(text).not.toMatch(/abcd|never-seen-before/);
  });

  it('is ready only while all that it needs answers', async () => {
    const readiness = async () => {
      const response = await fetch(`${url}/health/ready`);
      return [response.status, await response.json()] as const;
    };
    const checks = app.nest.get(ReadinessChecks);
    let up = true;
    checks.add('event-log', () => (up ? Promise.resolve() : Promise.reject(new Error(SECRET))));
    expect(await readiness()).toEqual([200, { status: 'ready', checks: { 'event-log': 'up' } }]);
    up = false;
    expect(await readiness()).toEqual([503, { status: 'not ready', checks: { 'event-log': 'down' } }]);
    up = true;
    expect((await readiness())[0]).toBe(200);
    expect(() => {
      checks.add('event-log', () => Promise.resolve());
    }).toThrow('event-log');
  });
});

const exchange = (bytes: string) =>
  new Promise<string>((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('end', () => {
      resolve(answer);
    });
    socket.on('error', reject);
  });

/** A raw connection. `seen` waits until the received text matches or the server has ended the connection. */
const connection = () => {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true });
  let received = '';
  const seen = (what: RegExp) =>
    new Promise<string>((resolve, reject) => {
      socket.on('data', (chunk) => {
        received += chunk.toString();
        if (what.test(received)) resolve(received);
      });
      socket.on('end', () => {
        resolve(received);
      });
      socket.on('error', reject);
    });
  return { socket, seen };
};

describe('an app that stops', () => {
  it('finishes what it has accepted before it closes its modules, and accepts nothing more', async () => {
    closed.length = 0;
    await start();
    const accepted = fetch(`${url}/orders/slow`);
    await slow.started.given;
    const stopped = app.close();
    await refusesConnections();
    slow.finish.give();
    const answer = await accepted;
    expect(answer.status).toBe(200);
    expect(answer.headers.get('connection')).toBe('close');
    expect(await answer.json()).toEqual({ closedBefore: [] });
    await stopped;
    expect(closed).toEqual(['orders']);
  });

  it.each([
    ['answered before its body came', 'PUT /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n', 'body'],
    ['no HTTP, and never closed', 'HELLO\r\n\r\n', ''],
  ])('does not wait for a connection that is %s', async (_what, bytes, rest) => {
    await start();
    const { socket, seen } = connection();
    const answered = seen(/\r\n\r\n/);
    socket.write(bytes);
    expect(await answered).toMatch(/^HTTP\/1.1 4/);
    const stopped = app.close();
    await refusesConnections();
    socket.write(rest);
    await stopped;
    socket.destroy();
    expect(lines.map(({ msg }) => msg)).not.toContain('requests did not finish in time; their connections are closed');
  });

  it('takes a body that broke off for no fault of its own', async () => {
    await start();
    const { socket, seen } = connection();
    const taken = seen(/100 Continue/);
    socket.write('POST /orders HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n');
    socket.write('Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"name":');
    await taken;
    socket.destroy();
    const { server } = app.nest.getHttpAdapter().getInstance();
    const connections = promisify(server.getConnections.bind(server));
    while ((await connections()) > 0) await nextTurn();
    await fetch(`${url}/health/live`);
    await app.close();
    expect(lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('watches what it stands on until then, and tells once of what is away, whoever asks', async () => {
    await start();
    let isAway = true;
    app.nest.get(ReadinessChecks).add('warehouse', () => {
      return isAway ? Promise.reject(new Error('It is away')) : Promise.resolve();
    });
    await app.opened();
    const told = (msg: string) => lines.filter((line) => line.msg === msg && line.check === 'warehouse').length;
    const until = async (isSo: () => boolean) => {
      while (!isSo()) await nextTurn();
    };
    await until(() => told('readiness check failed') === 1);
    expect((await fetch(`${url}/orders/fails/away`)).status).toBe(503);
    expect((await fetch(`${url}/health/ready`)).status).toBe(503);
    isAway = false;
    await until(() => told('readiness check passes again') === 1);
    expect(lines.filter(({ level }) => level === 'warn' || level === 'error')).toHaveLength(1);
    await app.close();
  });

  it('logs no check that a store that is away explains, and each other one', async () => {
    await start();
    const checks = app.nest.get(ReadinessChecks);
    let isAway = true;
    let isCopyAway = true;
    const away = () => Promise.reject(Object.assign(new Error('connection refused'), { store: 'stock' }));
    checks.add('stock', () => (isAway ? away() : Promise.resolve()), { isOfStore: true });
    checks.add('first list', () => (isAway || isCopyAway ? away() : Promise.resolve()));
    checks.add('second list', () => (isAway ? Promise.reject(new NoAnswer('in time')) : Promise.resolve()));
    checks.add('third list', () => (isAway ? away() : Promise.resolve()), { isLogged: true });
    lines.length = 0;
    const told = async () => {
      await checks.report();
      return lines.splice(0).map(({ level, msg, check }) => [level, msg, check].join(' ').trim());
    };
    expect(await told()).toEqual(['warn the stock can’t be used']);
    expect(await told()).toEqual([]);
    isAway = false;
    expect(await told()).toEqual(['info the stock can be used again']);
    expect(await told()).toEqual(['warn readiness check failed first list']);
    isCopyAway = false;
    expect(await told()).toEqual(['info readiness check passes again first list']);
    await app.close();
  });

  it('says at most once that it is still starting, and warns of nothing', async () => {
    await start();
    const checks = app.nest.get(ReadinessChecks);
    lines.length = 0;
    let isBuilding = true;
    for (const name of ['clients', 'history']) {
      checks.add(name, () => (isBuilding ? Promise.reject(new Starting('It is being built')) : Promise.resolve()));
    }
    expect((await checks.report()).status).toBe('not ready');
    await checks.report();
    isBuilding = false;
    expect((await checks.report()).status).toBe('ready');
    expect(lines).toEqual([
      expect.objectContaining({ level: 'info', msg: 'not ready yet', checks: ['clients', 'history'] }),
    ]);
    await app.close();
  });

  it('is ready but degraded while an operator has to act, and says so once', async () => {
    await start();
    let isAmber = true;
    app.nest.get(ReadinessChecks).add('clock', () => {
      return isAmber ? Promise.reject(new Degraded('It is 9 s behind')) : Promise.resolve();
    });
    await app.opened();
    const readiness = async () => {
      const response = await fetch(`${url}/health/ready`);
      return [response.status, await response.json()];
    };
    const amber = { status: 'degraded', checks: expect.objectContaining({ clock: 'degraded' }) as unknown };
    expect([await readiness(), await readiness()]).toEqual([
      [200, amber],
      [200, amber],
    ]);
    expect(lines.filter(({ check }) => check === 'clock')).toEqual([
      expect.objectContaining({ level: 'warn', result: 'degraded', msg: 'readiness check failed' }),
    ]);
    isAmber = false;
    expect(await readiness()).toEqual([200, expect.objectContaining({ status: 'ready' })]);
    await app.close();
  });

  it('is not ready any more from the moment it was told', async () => {
    await start();
    const checks = app.nest.get(ReadinessChecks);
    const stopped = app.close();
    expect((await checks.report()).status).toBe('not ready');
    await stopped;
  });
});

const refusesConnections = async () => {
  for (;;) {
    const refused = await exchange('GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n').then(
      () => false,
      () => true,
    );
    if (refused) return;
  }
};

describe('an app with METRICS_PORT', () => {
  it('serves no metrics on the public port', async () => {
    await start({ metricsPort: 0 });
    expect((await fetch(`${url}/metrics`)).status).toBe(404);
    expect(await (await fetch(app.metricsUrl ?? '')).text()).toContain('process_resident_memory_bytes');
    await app.close();
  });
});
