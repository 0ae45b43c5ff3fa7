import { type DynamicModule, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { AuthModule } from '../../auth/src/auth.module.js';
import { ManagementModule } from '../../management/src/management.module.js';
import { ProjectorModule } from '../../projector/src/projector.module.js';
import { type Clock, type Configuration } from '#platform';
import { ReadModelQueries } from '#read-models';
import type { Stores } from './stores.js';

const STORES = Symbol('Stores');

/** Management, authentication and projector in one process, on the embedded stores. */
@Module({})
export class StandaloneModule implements OnApplicationShutdown {
  static with(stores: Stores, configuration: Configuration, clock: Clock): DynamicModule {
    const { book, readStore, masterKeys, mint, verifier, ring, managementTokens } = stores;
    const readModels = new ReadModelQueries({ log: book.log, logId: book.logId, store: readStore });
    const requestsPerMinute = configuration.rateLimits.managementPerSubject;
    return {
      module: StandaloneModule,
      imports: [
        ManagementModule.with({
          book,
          readModels,
          masterKeys,
          mint,
          tokens: managementTokens,
          clock,
          requestsPerMinute,
        }),
        AuthModule.with({ book, masterKeys, verifier, ring, issuer: configuration.publicUrl, clock }),
        ProjectorModule.with({ book, readStore, clock }),
      ],
      providers: [{ provide: STORES, useValue: stores }],
    };
  }

  constructor(@Inject(STORES) private readonly stores: Stores) {}

  /** After the projector has stopped. */
  async onApplicationShutdown(): Promise<void> {
    await this.stores.close();
  }
}
