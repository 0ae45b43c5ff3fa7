import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { FastPath, type Logger, LOGGER } from '#platform';
import { type AuthDependencies, DEPENDENCIES } from './dependencies.js';
import { Gateway } from './gateway/gateway.js';
import { Introspection } from './introspection/introspection.js';
import { introspectionEndpoint } from './introspection/introspection-route.js';
import { jwksRoute } from './jwks/jwks.js';
import { Login } from './login/login.js';
import { loginEndpoints } from './login/login-routes.js';
import { metadataRoute } from './metadata/metadata.js';
import { AuthenticationLimits } from './oauth/authentication-limits.js';
import { ClientAuthentication } from './oauth/client-authentication.js';
import { oauthRoute } from './oauth/oauth-route.js';
import { Revocation } from './revocation/revocation.js';
import { revocationEndpoint } from './revocation/revocation-route.js';
import { SigningKeySchedule } from './signing-keys/signing-key-schedule.js';
import { TokenStanding } from './standing/token-standing.js';
import { UsageRecorder } from './usage/usage-recorder.js';

/** What API consumers and gateways meet. All that is asked often is answered before Fastify. */
@Module({})
export class AuthModule implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  static with(dependencies: AuthDependencies): DynamicModule {
    const known = { provide: DEPENDENCIES, useValue: dependencies };
    return {
      module: AuthModule,
      providers: [
        known,
        AuthenticationLimits,
        ClientAuthentication,
        TokenStanding,
        Login,
        Introspection,
        Revocation,
        Gateway,
        SigningKeySchedule,
        UsageRecorder,
      ],
    };
  }

  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost<FastifyAdapter>,
    @Inject(FastPath) private readonly fastPath: FastPath,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(AuthenticationLimits) private readonly limits: AuthenticationLimits,
    @Inject(ClientAuthentication) private readonly authentication: ClientAuthentication,
    @Inject(Login) private readonly login: Login,
    @Inject(Introspection) private readonly introspection: Introspection,
    @Inject(Revocation) private readonly revocation: Revocation,
    @Inject(Gateway) private readonly gateway: Gateway,
    @Inject(SigningKeySchedule) private readonly signingKeys: SigningKeySchedule,
    @Inject(UsageRecorder) private readonly usage: UsageRecorder,
  ) {}

  onModuleInit(): void {
    const { authentication, dependencies } = this;
    const endpoints = [
      ...loginEndpoints(this.login, authentication),
      introspectionEndpoint(this.introspection, authentication, this.limits, dependencies.managementTokens),
      revocationEndpoint(this.revocation, authentication),
    ];
    this.fastPath.add(this.gateway.route, ...endpoints.map((endpoint) => oauthRoute(endpoint, this.logger)));
    const fastify = this.host.httpAdapter.getInstance<FastifyInstance>();
    jwksRoute(fastify, dependencies);
    metadataRoute(fastify, dependencies);
  }

  onApplicationBootstrap(): void {
    this.gateway.start();
    this.signingKeys.start();
    this.usage.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([this.gateway.stop(), this.signingKeys.stop(), this.usage.stop()]);
  }
}
