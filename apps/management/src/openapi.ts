import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { referredModels } from './requests/api-documentation.js';

/**
 * Serves the API's OpenAPI 3.1 document at `/openapi.json`, and a readable page at `/docs`, to which `/` points. The
 * document is built at the first request.
 */
export function serveOpenApi(app: INestApplication): void {
  let document: OpenAPIObject | undefined;
  const toDocs = (_: FastifyRequest, reply: FastifyReply) => reply.redirect('/docs', 302);
  app.getHttpAdapter().get('/', toDocs);
  SwaggerModule.setup('docs', app, () => (document ??= openApiDocument(app)), { jsonDocumentUrl: 'openapi.json' });
}

const openApiDocument = (app: INestApplication): OpenAPIObject =>
  SwaggerModule.createDocument(
    app,
    new DocumentBuilder()
      .setTitle('Consumer Clients: management API')
      .setDescription(
        'The book of record for the API keys and OAuth 2 clients of an API marketplace. Commands take an ' +
          '`Idempotency-Key` and answer with an `X-Consistency-Token`; errors are RFC 9457 problem details.',
      )
      .setVersion('1')
      .setOpenAPIVersion('3.1.0')
      .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'A management token (see the README)' })
      .build(),
    { extraModels: referredModels },
  );
