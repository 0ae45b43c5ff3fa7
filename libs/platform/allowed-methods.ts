import type { FastifyInstance } from 'fastify';

interface KnownRoute {
  readonly path: RegExp;
  readonly methods: Set<string>;
}

/** Collects the routes that are added to Fastify from now on, to find the methods of a path. */
export class AllowedMethods {
  private readonly routes = new Map<string, KnownRoute>();

  constructor(fastify: FastifyInstance) {
    fastify.addHook('onRoute', ({ url, method }) => {
      const route = this.routes.get(url) ?? { path: pathOf(url), methods: new Set<string>() };
      this.routes.set(url, route);
      for (const each of [method].flat()) route.methods.add(each);
    });
  }

  /** Returns the methods of the routes that have this path, in alphabetical order. `target` may have a query. */
  of(target: string): string[] {
    const [path = ''] = target.split('?', 1);
    const found = [...this.routes.values()].filter((route) => route.path.test(path));
    return [...new Set(found.flatMap(({ methods }) => [...methods]))].sort();
  }
}

/** Turns Fastify's pattern of a path (`/a/:id`, `/a/*`) into a regular expression. */
const pathOf = (url: string): RegExp => {
  const escaped = url.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(/:\w+/g, '[^/]+').replaceAll('*', '.*')}$`);
};
