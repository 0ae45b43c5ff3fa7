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
import { type AuthDependencies, DEPENDENCIES } from './dependencies.js';
import { Gateway } from './gateway/gateway.js';
import { Introspection } from './introspection/introspection.js';
import { introspectionRoute } from './introspection/introspection-route.js';
import { jwksRoute } from './jwks/jwks.js';
import { Login } from './login/login.js';
import { loginRoutes } from './login/login-routes.js';
import { metadataRoute } from './metadata/metadata.js';
import { AuthenticationLimits } from './oauth/authentication-limits.js';
import { ClientAuthentication } from './oauth/client-authentication.js';
import { oauthScope } from './oauth/oauth-scope.js';
import { Revocation } from './revocation/revocation.js';
import { revocationRoute } from './revocation/revocation-route.js';
import { SigningKeySchedule } from './signing-keys/signing-key-schedule.js';
import { TokenStanding } from './standing/token-standing.js';
import { UsageRecorder } from './usage/usage-recorder.js';

/** What API consumers meet. Its routes are plain Fastify ones on Nest's own instance: half of Nest's cost is saved. */
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
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(ClientAuthentication) private readonly authentication: ClientAuthentication,
    @Inject(Login) private readonly login: Login,
    @Inject(Introspection) private readonly introspection: Introspection,
    @Inject(Revocation) private readonly revocation: Revocation,
    @Inject(Gateway) private readonly gateway: Gateway,
    @Inject(SigningKeySchedule) private readonly signingKeys: SigningKeySchedule,
    @Inject(UsageRecorder) private readonly usage: UsageRecorder,
  ) {}

  onModuleInit(): void {
    const fastify = this.host.httpAdapter.getInstance<FastifyInstance>();
    oauthScope(fastify, (scope) => {
      loginRoutes(scope, this.login, this.authentication);
      introspectionRoute(scope, this.introspection, this.authentication, this.dependencies.managementTokens);
      revocationRoute(scope, this.revocation, this.authentication);
    });
    jwksRoute(fastify, this.dependencies);
    metadataRoute(fastify, this.dependencies);
    this.gateway.serve(fastify);
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
