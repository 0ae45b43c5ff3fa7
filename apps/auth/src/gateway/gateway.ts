import { Inject, Injectable } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { type FastRoute, type Logger, LOGGER, Registry } from '#platform';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';
import { TokenStanding } from '../standing/token-standing.js';
import { UsageRecorder } from '../usage/usage-recorder.js';
import { ClientDirectory } from './client-directory.js';
import { GatewayCheck } from './gateway-check.js';
import { gatewayRoute } from './gateway-route.js';

/** The gateway check with the directory that it looks into, from start to stop. */
@Injectable()
export class Gateway {
  private readonly directory: ClientDirectory;
  private readonly stopping = new AbortController();
  private following: Promise<void> | undefined;

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(TokenStanding) private readonly standing: TokenStanding,
    @Inject(UsageRecorder) private readonly usage: UsageRecorder,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(Registry) registry: Registry,
  ) {
    this.directory = new ClientDirectory({
      book: () => dependencies.book,
      maxLagMs: dependencies.gateway.maxLagMs,
      observer: {
        outageBegan: (err) => {
          logger.warn({ err }, 'the client directory lost the log; each gateway check reads it');
        },
        outageEnded: () => {
          logger.info('the client directory follows the log again');
        },
      },
    });
    const { directory } = this;
    new Gauge({
      name: 'gateway_directory_lag_seconds',
      help: 'Age of the newest marker of the log that came back to the client directory; it grows while no check is served',
      registers: [registry],
      collect() {
        this.set(directory.lagMs() / 1000);
      },
    });
  }

  get route(): FastRoute {
    return gatewayRoute(new GatewayCheck(this.dependencies, this.standing, this.directory, this.usage), this.logger);
  }

  start(): void {
    const follow = () => {
      if (!this.stopping.signal.aborted) this.following = this.directory.run(this.stopping.signal);
    };
    // Why it was not opened is told by its process.
    this.dependencies.opened.then(follow, () => undefined);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.following;
  }
}
