import { Controller, Get, Headers, Query, Req, Res } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AuditRoute, listForm } from '../requests/api-documentation.js';
import { CallerParameter } from '../requests/command-request.js';
import { bearerIn, type Caller } from '../requests/management-guard.js';
import { mediaTypeIn } from '../requests/media-type.js';
import { EventStreams, serverSentEvent } from './event-streams.js';
import { CloudEventView, EXAMPLE_FEED, EXAMPLE_OCSF, FeedParameters, GetFeedPage } from './get-feed-page.js';

const BATCH = 'application/cloudevents-batch+json';
const JSON_TYPE = 'application/json';
const NDJSON = 'application/x-ndjson';
const SSE = 'text/event-stream';

const lines = (events: readonly object[]): string => events.map((event) => `${JSON.stringify(event)}\n`).join('');

const EXAMPLE_STREAM = EXAMPLE_FEED.map((event) => serverSentEvent(event.sequence, event)).join('');

function linkToNext(after: string | undefined, { limit, format }: FeedParameters): string {
  const query = new URLSearchParams();
  if (after !== undefined) query.set('after', after);
  if (limit !== undefined) query.set('limit', String(limit));
  if (format !== undefined) query.set('format', format);
  return `</v1/events?${query.toString()}>; rel="next"`;
}

/** The feed of events, for programs that follow what happens in a workspace. */
@ApiTags('Feeds')
@Controller('v1/events')
export class FeedController {
  constructor(
    private readonly queries: QueryBus,
    private readonly streams: EventStreams,
  ) {}

  @Get()
  @AuditRoute({
    scopes: ['audit:read'],
    operationId: 'getEvents',
    summary: 'The events of a workspace and the heads of the tree, in the order of the log',
    description:
      'CloudEvents 1.0, oldest first, as a JSON batch or, with `Accept: application/x-ndjson`, one a line. The header ' +
      '`Link` always names the next page: a caller that follows it misses nothing and gets nothing twice. A page looks ' +
      'at 2,000 events of the log at most, so it may be empty although more follow; where `Link` names the same page ' +
      'again, nothing more has happened yet.\n\n' +
      'With `Accept: text/event-stream`, the answer goes on as events happen (server-sent events). `id` is the position ' +
      'of an event, and a caller that connects again with `Last-Event-ID` goes on behind it. `docs/feeds.md` describes the events.',
    answers: [
      {
        status: 200,
        description: 'A page of the feed',
        forms: [listForm(CloudEventView, { page: EXAMPLE_FEED, empty: [] })],
        mediaType: BATCH,
        otherContent: {
          [JSON_TYPE]: {
            schema: {
              type: 'array',
              items: { type: 'object', additionalProperties: true },
              description:
                'With `format=ocsf`: events of the classes Entity Management (3004) and Authentication (3002)',
            },
            examples: { ocsf: { value: EXAMPLE_OCSF } },
          },
          [NDJSON]: { schema: { type: 'string' }, examples: { page: { value: lines(EXAMPLE_FEED) } } },
          [SSE]: { schema: { type: 'string' }, examples: { stream: { value: EXAMPLE_STREAM } } },
        },
        headers: ['Cache-Control', 'Link'],
      },
    ],
    refusals: ['UNKNOWN_POSITION', 'TOO_MANY_EVENT_STREAMS'],
  })
  async events(
    @Query() parameters: FeedParameters,
    @Headers('accept') accept = '',
    @Headers('last-event-id') lastEventId: string | undefined,
    @CallerParameter() { workspaceId, subject }: Caller,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<FastifyReply> {
    const type = mediaTypeIn(accept, [parameters.format === 'ocsf' ? JSON_TYPE : BATCH, NDJSON, SSE]);
    if (type === SSE) {
      const { format } = parameters;
      const after = lastEventId ?? parameters.after;
      const stream = await this.streams.open({ workspaceId, subject, after, token: bearerIn(request), format, reply });
      void reply.header('link', linkToNext(after, parameters));
      void reply.headers({ 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' });
      return reply.type(SSE).send(stream);
    }
    const { events, next } = await this.queries.execute(new GetFeedPage(workspaceId, parameters));
    void reply.headers({ 'cache-control': 'no-store', link: linkToNext(next, parameters) });
    // Of a text, Fastify would say the charset, which neither media type has.
    return reply.type(type).send(Buffer.from(type === NDJSON ? lines(events) : JSON.stringify(events)));
  }
}
