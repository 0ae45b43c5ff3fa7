import { type DynamicModule, Inject, Module, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { type AuthDependencies, DEPENDENCIES } from './dependencies.js';
import { jwksRoute } from './jwks/jwks.js';
import { Login } from './login/login.js';
import { loginRoutes } from './login/login-routes.js';

/** What API consumers meet. Its routes are plain Fastify ones on Nest's own instance: half of Nest's cost is saved. */
@Module({})
export class AuthModule implements OnModuleInit {
  static with(dependencies: AuthDependencies): DynamicModule {
    return { module: AuthModule, providers: [{ provide: DEPENDENCIES, useValue: dependencies }, Login] };
  }

  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost<FastifyAdapter>,
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(Login) private readonly login: Login,
  ) {}

  onModuleInit(): void {
    const fastify = this.host.httpAdapter.getInstance<FastifyInstance>();
    loginRoutes(fastify, this.login);
    jwksRoute(fastify, this.dependencies);
  }
}
