import { type CanActivate, type ExecutionContext, Inject, Injectable, SetMetadata } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Instant, isWorkspaceId, type WorkspaceId } from '#domain';
import {
  addReadings,
  loggedText,
  networkOf,
  Problem,
  RATE_LIMITED,
  RateLimit,
  rateLimited,
  rateLimitHeaders,
  Registry,
  validationFailed,
  withoutPort,
} from '#platform';
import { InvalidManagementToken, type ManagementPrincipal, type ManagementScope } from '#tokens';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';

/** The sender of a request, together with the time of the request and the workspace that the request is about. */
export interface Caller {
  readonly subject: string;
  readonly scopes: readonly string[];
  readonly workspaceId: WorkspaceId;
  readonly at: Instant;
}

declare module 'fastify' {
  interface FastifyRequest {
    caller?: Caller;
  }
}

const SCOPES = 'management:scopes';

/** Sets the scopes of a route. A token needs one of them. A route without scopes refuses every request. */
export const RequiresScope = (...scopes: ManagementScope[]) => SetMetadata(SCOPES, scopes);

const WITHOUT_WORKSPACE = 'management:without-workspace';

/**
 * Marks a route that is about the whole log, which belongs to no workspace. `canBePublic`: with `TREE_PUBLIC`, the route
 * also answers requests without a token.
 */
export const WithoutWorkspace = (options: { readonly canBePublic: boolean }) => SetMetadata(WITHOUT_WORKSPACE, options);

/** Requests without a token that one address may make in a minute, of the routes that answer them. */
const STRANGERS_PER_ADDRESS = 600;

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i;

/** Returns the bearer token of a request; `undefined` if the request has none. */
export const bearerIn = ({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined =>
  BEARER.exec(headers.authorization ?? '')?.[1];

/** Authenticates the sender of a request, counts the request, checks the scope, and finds the workspace. */
@Injectable()
export class ManagementGuard implements CanActivate {
  private readonly rate: RateLimit;
  private readonly strangers = new RateLimit({ limit: STRANGERS_PER_ADDRESS });

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies,
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(Registry) registry: Registry,
  ) {
    const rate = new RateLimit({ limit: dependencies.requestsPerMinute });
    this.rate = rate;
    addReadings(registry, RATE_LIMITED, () => [
      { labels: { limit: 'management_subject' }, value: rate.refusals },
      { labels: { limit: 'tree_address' }, value: this.strangers.refusals },
    ]);
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const handler = context.getHandler();
    const wholeLog = this.reflector.get<{ canBePublic: boolean } | undefined>(WITHOUT_WORKSPACE, handler);
    const { authorization } = request.headers;
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    if (wholeLog?.canBePublic && this.dependencies.isTreePublic && authorization === undefined) {
      count(this.strangers, networkOf(withoutPort(request.ip)), reply);
      return true;
    }
    const principal = await this.authenticate(request);
    const subject = loggedText(principal.subject);
    request.facts = { workspaceId: principal.workspaceId, subject };
    count(this.rate, principal.subject, reply);
    const scopes = this.reflector.get<readonly ManagementScope[] | undefined>(SCOPES, handler) ?? [];
    if (!scopes.some((scope) => principal.scopes.has(scope))) {
      throw new Problem(403, 'INSUFFICIENT_SCOPE', `This needs the scope ${scopes.join(' or ') || 'of no token'}`);
    }
    if (wholeLog) {
      request.facts = { subject };
      return true;
    }
    const workspaceId = workspaceOf(principal, request.headers['x-workspace-id']);
    request.facts = { workspaceId, subject };
    const at = this.dependencies.clock().toISOString();
    request.caller = { subject: principal.subject, scopes: [...principal.scopes], workspaceId, at };
    return true;
  }

  private async authenticate(request: FastifyRequest): Promise<ManagementPrincipal> {
    const token = bearerIn(request);
    if (token === undefined) throw unauthenticated('A bearer token is needed', 'Bearer');
    try {
      return await this.dependencies.tokens.verify(token);
    } catch (error) {
      if (!(error instanceof InvalidManagementToken)) throw error;
      throw unauthenticated('This bearer token is not good', 'Bearer error="invalid_token"');
    }
  }
}

/** Counts the request for `key`, and throws 429 above the limit. */
function count(rate: RateLimit, key: string, reply: FastifyReply): void {
  const state = rate.take(key);
  if (!state) return;
  if (!state.allowed) throw rateLimited(state);
  void reply.headers(rateLimitHeaders(state));
}

const unauthenticated = (detail: string, challenge: string) =>
  new Problem(401, 'UNAUTHENTICATED', detail, { headers: { 'www-authenticate': challenge } });

/**
 * Returns the workspace that `X-Workspace-Id` names, if the token may use that workspace. Without this header, returns
 * the token's own workspace.
 */
function workspaceOf(principal: ManagementPrincipal, named: string | string[] | undefined): WorkspaceId {
  if (named !== undefined) {
    if (!isWorkspaceId(named))
      throw validationFailed({ field: 'X-Workspace-Id', message: 'must match [A-Za-z0-9_-]{1,64}' });
    if (principal.anyWorkspace || principal.workspaceId === named) return named;
    throw new Problem(403, 'INSUFFICIENT_SCOPE', 'Naming a workspace needs the scope workspaces:any');
  }
  if (principal.workspaceId !== undefined) return principal.workspaceId;
  if (principal.anyWorkspace)
    throw validationFailed({ field: 'X-Workspace-Id', message: 'is needed: this token is of no workspace' });
  throw new Problem(403, 'INSUFFICIENT_SCOPE', 'This token is of no workspace');
}
