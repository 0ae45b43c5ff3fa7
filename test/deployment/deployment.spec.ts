import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DockerfileParser } from 'dockerfile-ast';
import { parse } from 'yaml';
import { ConfigurationError, configurationFrom } from '#platform';

const ROOT = join(__dirname, '..', '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

interface Service {
  readonly command?: readonly string[];
  readonly profiles?: readonly string[];
  readonly build?: unknown;
  readonly environment: Readonly<Record<string, string>>;
  readonly image?: string;
  readonly user?: string;
  readonly restart?: string;
  readonly healthcheck?: object;
  readonly volumes?: readonly string[];
  readonly secrets?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

// `!override` is a tag of Docker Compose, of which the parser would warn.
const compose = (file: string) => parse(read(file), { merge: true, logLevel: 'error' }) as Compose;
const single = compose('docker-compose.yml');
const cluster = compose('docker-compose.cluster.yml');
const kurrent = compose('docker-compose.kurrentdb.yml');
const OURS = ['management', 'auth', 'projector'] as const;

/** Returns the names of all environment variables that the configuration reads. */
const known = (): Set<string> => {
  const seen = new Set<string>();
  configurationFrom(
    new Proxy<Record<string, undefined>>(
      {},
      {
        get: (_, variable) => void seen.add(String(variable)),
      },
    ),
  );
  return seen;
};

/** Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?why}`, as Docker Compose does. */
const interpolated = (value: string, environment: Readonly<Record<string, string>>) =>
  value.replaceAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, mark?: string, rest?: string) => {
    const given = environment[name];
    if (given !== undefined) return given;
    if (mark === '?') throw new Error(`${name} is asked for: ${rest ?? ''}`);
    return rest ?? '';
  });

describe.each([
  ['docker-compose.yml', single],
  ['docker-compose.cluster.yml', cluster],
])('%s', (file, { services, volumes }) => {
  it('sets only variables that the configuration has', () => {
    for (const name of OURS) {
      for (const variable of Object.keys(services[name]?.environment ?? {})) expect(known()).toContain(variable);
    }
  });

  it('restarts every service, even after exit code 0, and checks the health of the stores', () => {
    for (const [name, service] of Object.entries(services)) {
      const alone = { ...single.services[name], ...service };
      expect([name, alone.restart]).toEqual([name, 'unless-stopped']);
      const isOurs = (OURS as readonly string[]).includes(name); // our own image defines a health check
      expect([name, isOurs || alone.healthcheck !== undefined]).toEqual([name, true]);
    }
  });

  it('keeps every store in a volume of its own', () => {
    const used = Object.values(services).flatMap((service) => service.volumes ?? []);
    expect(used.map((volume) => volume.split(':')[0])).toEqual(Object.keys(volumes));
  });

  it('holds no secret', () => {
    expect(read(file)).not.toMatch(/[A-Za-z0-9+/]{43}=|password|:\/\/[^/\s]+@/i);
  });
});

describe('the event store', () => {
  const nodes = [single, cluster].flatMap(({ services }) =>
    Object.entries(services).filter(([name]) => name.startsWith('eventstoredb')),
  );

  it('is a version that its maker supports', () => {
    for (const [, { image = '' }] of nodes) expect(interpolated(image, {})).toMatch(/:24\.10\.\d+$/);
    expect(interpolated(kurrent.services.eventstoredb?.image ?? '', {})).toMatch(/kurrentdb:26\.0$/);
  });

  it('has its log in the volume, whichever image is chosen', () => {
    for (const [name, { environment, volumes = [] }] of nodes) {
      const all = new Set([...volumes, ...(single.services[name]?.volumes ?? [])]);
      const mounted = [...all].map((volume) => volume.split(':')[1]);
      expect([name, ...mounted]).toEqual([name, '/var/lib/eventstore']);
      expect([name, environment.KURRENTDB_DB]).toEqual([name, '/var/lib/eventstore']);
    }
  });

  it('as KurrentDB has the same volume and settings under its names, and its user', () => {
    const [before, after] = [single.services.eventstoredb, kurrent.services.eventstoredb];
    const [volume, mounted] = after?.volumes?.[0]?.split(':') ?? [];
    expect([volume]).toEqual(before?.volumes?.map((one) => one.split(':')[0]));
    const { KURRENTDB_DB, ...settings } = after?.environment ?? {};
    expect(KURRENTDB_DB).toBe(mounted);
    const renamed = Object.entries(before?.environment ?? {})
      .filter(([name]) => name.startsWith('EVENTSTORE_'))
      .map(([name, value]) => [name.replace('EVENTSTORE_', 'KURRENTDB_'), value]);
    expect(settings).toEqual(Object.fromEntries(renamed));
    expect(after?.user).toBe('1001:1001');
  });
});

describe('docker-compose.yml', () => {
  const given = {
    PUBLIC_URL: 'https://clients.example.com',
    MANAGEMENT_ISSUER: 'https://issuer.example.com',
    MANAGEMENT_JWKS_URL: 'https://issuer.example.com/jwks.json',
    MANAGEMENT_AUDIENCE: 'consumer-clients',
  };

  it.each(OURS)('gives %s a configuration that it can start with', (name) => {
    const { environment = {}, command } = single.services[name] ?? {};
    const { MASTER_KEY_FILE, GATEWAY_SECRET_FILE, ...rest } = Object.fromEntries(
      Object.entries(environment).map(([variable, value]) => [variable, interpolated(value, given)]),
    );
    // The projector needs no secret.
    expect(MASTER_KEY_FILE).toBe(name === 'projector' ? undefined : '/run/secrets/master_key');
    expect(GATEWAY_SECRET_FILE).toBe(name === 'auth' ? '/run/secrets/gateway_secret' : undefined);
    const files = [MASTER_KEY_FILE, GATEWAY_SECRET_FILE].filter((file) => file !== undefined);
    expect((single.services[name]?.secrets ?? []).map((secret) => `/run/secrets/${secret}`)).toEqual(files);
    const configuration = configurationFrom(rest);
    expect(configuration.publicUrl).toBe(given.PUBLIC_URL);
    expect(configuration.eventStoreDbUrl).toMatch(/^esdb:/);
    // The auth process needs no read models.
    if (name === 'auth') expect(configuration.mongoDbUrl).toBeUndefined();
    else expect(configuration.mongoDbUrl).toMatch(/^mongodb:/);
    expect(Object.keys(single.services[name]?.depends_on ?? {})).toEqual(
      name === 'auth' ? ['eventstoredb'] : ['eventstoredb', 'mongodb'],
    );
    const [node, program = ''] = command ?? [];
    expect(node).toBe('node');
    expect(existsSync(join(ROOT, program))).toBe(true);
  });

  it('lets the operator set every variable, except those of the standalone and of the network', () => {
    const settable = new Set(
      OURS.flatMap((name) => Object.entries(single.services[name]?.environment ?? {}))
        .filter(([variable, value]) => value.includes(`\${${variable}:`))
        .map(([variable]) => variable),
    );
    const fixed = ['HOST', 'PORT', 'DATA_DIR', 'EVENTSTOREDB_URL', 'MONGODB_URL'];
    const secrets = ['MASTER_KEY', 'MASTER_KEY_FILE', 'GATEWAY_SECRET_FILE'];
    expect(new Set([...settable, ...fixed, ...secrets])).toEqual(known());
  });

  it('requires the values that only the operator can know', () => {
    const { environment = {} } = single.services.management ?? {};
    for (const variable of Object.keys(given)) {
      const value = environment[variable] ?? '';
      expect(() => interpolated(value, {})).toThrow(`${variable} is asked for`);
    }
  });
});

const dockerfile = DockerfileParser.parse(read('Dockerfile'));
/** The files that the Dockerfile copies from the build context. Copies from another build stage are left out. */
const copied = dockerfile
  .getCOPYs()
  .filter((copy) => copy.getFromFlag() === null)
  .flatMap((copy) => (copy.getArgumentsContent() ?? '').split(' ').slice(0, -1));

describe('The profile for development', () => {
  const { command, environment = {}, profiles, build } = single.services.issuer ?? {};
  const values = Object.fromEntries(
    Object.entries(environment).map(([variable, value]) => [variable, interpolated(value, {})]),
  );

  it('starts only when it is asked for, in the stage that has the packages for development', () => {
    expect(profiles).toEqual(['development']);
    expect(Object.values(single.services).filter((service) => service.profiles).length).toBe(1);
    expect(build).toEqual({ context: '.', target: 'build' });
    expect(existsSync(join(ROOT, command?.[1] ?? ''))).toBe(true);
    expect(command?.[1]?.startsWith(`${copied.find((source) => source.startsWith('examples/'))}/`)).toBe(true);
  });

  it('has the issuer and the audience for which the guide configures the service', () => {
    const guide = read('docs/management-tokens.md');
    expect(guide).toContain(`MANAGEMENT_ISSUER=${values.ISSUER} MANAGEMENT_JWKS_URL=${values.ISSUER}/jwks `);
    expect(guide).toContain(`MANAGEMENT_AUDIENCE=${values.AUDIENCE}\ndocker compose --profile development up`);
    const given = {
      ...{ PUBLIC_URL: 'http://127.0.0.1:3001', ALLOW_HTTP: 'true', MANAGEMENT_ISSUER: values.ISSUER },
      ...{ MANAGEMENT_JWKS_URL: `${values.ISSUER}/jwks`, MANAGEMENT_AUDIENCE: values.AUDIENCE },
    } as Record<string, string>;
    const ofManagement = Object.entries(single.services.management?.environment ?? {})
      .filter(([variable]) => variable !== 'MASTER_KEY_FILE')
      .map(([variable, value]): [string, string] => [variable, interpolated(value, given)]);
    expect(configurationFrom(Object.fromEntries(ofManagement)).managementIssuer?.issuer).toBe(values.ISSUER);
  });
});

describe('Dockerfile', () => {
  const lines = (keyword: string) =>
    dockerfile
      .getInstructions()
      .filter((instruction) => instruction.getKeyword() === keyword)
      .map((instruction) => instruction.getArgumentsContent() ?? '');

  it('runs without root, on production dependencies, a program that the build makes', () => {
    expect(dockerfile.getFROMs().length).toBeGreaterThan(1);
    expect(lines('USER')).toEqual(['node']);
    expect(lines('RUN').some((command) => command.startsWith('npm ci --omit=dev'))).toBe(true);
    const [, program = ''] = JSON.parse(lines('CMD').at(-1) ?? '[]') as string[];
    expect(existsSync(join(ROOT, program))).toBe(true);
  });

  it('copies only existing files that .dockerignore lets through', () => {
    const allowed = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, path]) => path);
    expect(copied.length).toBeGreaterThan(0);
    expect(copied.filter((source) => !existsSync(join(ROOT, source)) || !allowed.includes(source))).toEqual([]);
  });

  it('sets only variables that the configuration has', () => {
    const variables = lines('ENV').flatMap((line) => line.split(' ').map((pair) => pair.split('=')[0]));
    for (const variable of variables) expect([...known(), 'NODE_ENV']).toContain(variable);
  });
});

describe('.env.example', () => {
  const variables = [...read('.env.example').matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name);

  it('names every variable of the configuration, and no other', () => {
    expect(new Set(variables)).toEqual(known());
  });

  it('is a configuration that the standalone starts with', () => {
    const environment = Object.fromEntries(
      [...read('.env.example').matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
    );
    expect(() => configurationFrom(environment)).not.toThrow(ConfigurationError);
  });
});
