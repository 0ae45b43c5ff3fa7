import type { BuildName, CollectionSchema, ReadStore } from '../port.js';
import { Projector, type ProjectorOptions } from './projector.js';

/**
 * Creates an empty build (copy of a projection's documents) with a higher number than all existing builds. Returns the
 * build's name.
 */
export async function beginBuild(store: ReadStore, schema: CollectionSchema): Promise<BuildName> {
  const build = await store.nextBuild(schema);
  await store.prepareToLoad(build, schema);
  return build;
}

/**
 * A projector that is feeding one build. An error of the projector is kept as a value until somebody asks for the
 * error, because a rejected promise without a handler would end the process.
 */
export class BuildFeed<Doc> {
  private readonly session = new AbortController();
  private readonly projector: Projector<Doc>;
  private readonly ended: Promise<Error | undefined>;

  constructor(
    options: Omit<ProjectorOptions<Doc>, 'build'> & { readonly signal: AbortSignal },
    readonly build: BuildName,
  ) {
    this.projector = new Projector({ ...options, build });
    const signal = AbortSignal.any([options.signal, this.session.signal]);
    this.ended = this.projector.run(signal).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error('The projector failed', { cause: error })),
    );
  }

  /** Resolves when the build has caught up. Throws the error that stopped the projector. */
  async caughtUp(): Promise<void> {
    const error = await Promise.race([this.projector.caughtUp, this.ended]);
    if (error) throw error;
  }

  async end(): Promise<void> {
    this.session.abort();
    await this.ended;
  }
}
