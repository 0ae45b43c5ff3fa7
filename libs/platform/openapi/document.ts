import type { INestApplication } from '@nestjs/common';
import {
  type ComponentsObject,
  DocumentBuilder,
  type OpenAPIObject,
  type PathsObject,
  type SchemaObject,
  SwaggerModule,
} from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiDescription } from './api-description.js';
import { PROBLEM_CODES, problemCodeTable } from './problem-codes.js';
import { HEADERS, PROBLEM_SCHEMAS } from './responses.js';

/**
 * Serves the OpenAPI 3.1 document of this process's routes at `/openapi.json`, and a readable page at `/docs`, to which
 * `/` points. The document is built at the first request.
 */
export function serveOpenApi(app: INestApplication): void {
  let document: OpenAPIObject | undefined;
  const toDocs = (_: FastifyRequest, reply: FastifyReply) => reply.redirect('/docs', 302);
  app.getHttpAdapter().get('/', toDocs);
  SwaggerModule.setup('docs', app, () => (document ??= openApiDocument(app)), {
    jsonDocumentUrl: 'openapi.json',
    customSiteTitle: 'Consumer Clients API',
  });
}

const DESCRIPTION = `The book of record for the API keys and OAuth 2 clients of an API marketplace.

* Portal backends, auditors and operators call \`/v1\` with a management token. Commands take an \`Idempotency-Key\` and
  answer with an \`X-Consistency-Token\`.
* Consumers log in at \`/login\` and \`/{endpointUri}/login\`.
* Gateways ask \`/gateway/check\` whether a call may pass.

Errors of \`/v1\` are problem details (RFC 9457) with a stable \`code\`: see the schema \`ProblemCode\`. Errors of the
OAuth endpoints have the format of RFC 6749 §5.2.`;

function openApiDocument(app: INestApplication): OpenAPIObject {
  const { parts } = app.get(ApiDescription);
  const builder = new DocumentBuilder()
    .setTitle('Consumer Clients')
    .setDescription(DESCRIPTION)
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .setVersion('1')
    .setOpenAPIVersion('3.1.0')
    .addServer('/', 'The address that serves this document');
  const document = SwaggerModule.createDocument(app, builder.build(), {
    operationIdFactory: (_controller, method) => method,
    // Controllers name their tags themselves.
    autoTagControllers: false,
  });
  const paths: PathsObject = document.paths;
  for (const { path, method, operation } of parts.flatMap(({ operations = [] }) => operations)) {
    paths[path] = { ...paths[path], [method]: operation };
  }
  const { components = {} } = document;
  const schemas: unknown = Object.assign(
    {},
    components.schemas,
    PROBLEM_SCHEMAS,
    problemCodeSchema,
    ...parts.map((p) => p.schemas),
  );
  return {
    ...document,
    servers: [...(document.servers ?? []), ...parts.flatMap(({ server }) => server ?? [])],
    tags: parts.flatMap(({ tags = [] }) => tags),
    paths: closed(paths),
    components: {
      ...components,
      schemas: closed(schemas as Record<string, SchemaObject>),
      headers: HEADERS,
      securitySchemes: Object.assign({}, ...parts.map((part) => part.securitySchemes)) as SecuritySchemes,
    },
  };
}

type SecuritySchemes = NonNullable<ComponentsObject['securitySchemes']>;

const problemCodeSchema = {
  ProblemCode: {
    type: 'string',
    enum: Object.keys(PROBLEM_CODES).sort(),
    description: `All codes of problems.\n\n${problemCodeTable()}`,
  },
};

/**
 * Says of every object schema that it has no further members, unless the schema says otherwise: unknown fields of
 * bodies are refused, and answers contain only what is described. Turns `nullable` of OpenAPI 3.0 into a type of 3.1.
 */
function closed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(closed) as T;
  if (typeof value !== 'object' || value === null) return value;
  const { nullable, ...copy } = Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, isExample(name) ? (member as unknown) : closed(member)]),
  );
  const isObjectSchema = copy.type === 'object' && typeof copy.properties === 'object';
  if (nullable === true) copy.type = [copy.type, 'null'];
  return (isObjectSchema ? { additionalProperties: false, ...copy } : copy) as T;
}

/** Examples are values, not schemas. */
const isExample = (name: string): boolean => ['example', 'examples', 'value'].includes(name);
