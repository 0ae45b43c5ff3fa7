import { Controller, Get, HttpCode, Inject, Post, Query, Req, Res } from '@nestjs/common';
import { ApiPropertyOptional, ApiTags } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsInt, IsOptional, Max, Min } from 'class-validator';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RateLimit, rateLimited, validationFailed } from '#platform';
import { consistencyBody, entryBundleBytes, parseTilePath, TILE_WIDTH } from '#transparency';
import { findTreeHead, NoSuchTile, NoTreeHead, policyText, readLastTreeHead, type SignedHead } from '#tree-heads';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { LogRoute, type PlainForm } from '../requests/api-documentation.js';
import { EXAMPLE_HEAD, EXAMPLE_ORIGIN, EXAMPLE_ROOT } from './example-head.js';

/** Heads that may be forced in a minute: by one subject, so that nobody uses up what all have, and by all together. */
const FORCED_HEADS_PER_SUBJECT = 30;
const FORCED_HEADS_PER_MINUTE = 120;

/** How long a cache may keep the head, in seconds. */
const HEAD_MAX_AGE_SECONDS = 5;

const note = (example: string): PlainForm => ({ mediaType: 'text/plain', examples: { example } });
const BYTES: PlainForm = { mediaType: 'application/octet-stream', examples: { bytes: '32 bytes for each hash' } };

const wholeNumber = ({ value }: { value: unknown }): unknown =>
  typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;

/** The sizes of a proof of consistency. */
export class ConsistencyParameters {
  @ApiPropertyOptional({ type: 'integer', minimum: 0, default: 0, description: 'Size of the older tree' })
  @IsOptional()
  @Transform(wholeNumber)
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  from?: number;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, description: 'Size of a signed head; the last one by default' })
  @IsOptional()
  @Transform(wholeNumber)
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  to?: number;
}

/** The tree over the event log, in the formats of C2SP, for auditors and their programs. */
@ApiTags('Tree')
@Controller('v1/log')
export class TreeController {
  private readonly forcedBySubject = new RateLimit({ limit: FORCED_HEADS_PER_SUBJECT });
  private readonly forced = new RateLimit({ limit: FORCED_HEADS_PER_MINUTE });

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  @Get('checkpoint')
  @LogRoute({
    canBePublic: true,
    scopes: ['audit:read'],
    operationId: 'getTreeHead',
    summary: 'The last signed head of the tree over the event log',
    description: 'A [C2SP checkpoint](https://c2sp.org/tlog-checkpoint), with a cosignature that tells the time.',
    answers: [
      { status: 200, description: 'The head', forms: [], plain: note(EXAMPLE_HEAD), headers: ['Cache-Control'] },
    ],
    refusals: ['NO_TREE_HEAD'],
  })
  async head(@Res() reply: FastifyReply): Promise<void> {
    const head = await this.lastHead();
    this.cache(reply, `max-age=${HEAD_MAX_AGE_SECONDS}`);
    return sendText(reply, head.note);
  }

  @Post('heads')
  @HttpCode(200)
  @LogRoute({
    canBePublic: false,
    scopes: ['audit:read'],
    operationId: 'signTreeHead',
    summary: 'Sign a head that covers every event so far',
    description: 'If no event came after the last head, the answer is that head.',
    answers: [
      { status: 200, description: 'The head', forms: [], plain: note(EXAMPLE_HEAD), headers: ['Cache-Control'] },
    ],
    refusals: ['TREE_HEADS_REFUSED', 'UPGRADE_UNFINISHED', 'LOG_SEALED', 'CONTENTION', 'CLOCKS_APART'],
  })
  async sign(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    for (const [limit, key] of [
      [this.forcedBySubject, request.facts?.subject ?? ''],
      [this.forced, ''],
    ] as const) {
      const state = limit.take(key);
      if (state && !state.allowed) throw rateLimited(state);
    }
    const { signal } = new AbortController();
    const head = await this.dependencies.tree.signer.sign(signal);
    void reply.header('cache-control', 'no-store');
    return sendText(reply, head.note);
  }

  @Get('policy')
  @LogRoute({
    canBePublic: true,
    scopes: ['audit:read'],
    operationId: 'getTreePolicy',
    summary: 'The keys that sign heads now',
    description:
      'A [C2SP tlog-policy](https://c2sp.org/tlog-policy). Keep the keys: a verifier must not take them from here when ' +
      'it judges a head.',
    answers: [
      {
        status: 200,
        description: 'The keys',
        forms: [],
        plain: note(
          `log ${EXAMPLE_ORIGIN}+3de0ae58+AQ0zLBu5ZkAT1nI0bqXJcBFJwz8hxxUW2dGTvKEzuMbJ\nwitness time ${EXAMPLE_ORIGIN}/time+a7c1b2d3+BA0zLBu5ZkAT1nI0bqXJcBFJwz8hxxUW2dGTvKEzuMbJ\nquorum time\n`,
        ),
        headers: ['Cache-Control'],
      },
    ],
    refusals: ['NO_TREE_HEAD'],
  })
  async policy(@Res() reply: FastifyReply): Promise<void> {
    const { book, clock } = this.dependencies;
    const [{ origin }, { state }] = await Promise.all([this.lastHead(), book.signingKeys.read()]);
    this.cache(reply, `max-age=${HEAD_MAX_AGE_SECONDS}`);
    return sendText(reply, policyText(state, origin, clock().toISOString()));
  }

  @Get('consistency')
  @LogRoute({
    canBePublic: false,
    scopes: ['audit:read'],
    operationId: 'getTreeConsistency',
    summary: 'The proof that a signed head extends an older tree',
    description:
      'The body of the [C2SP witness call](https://c2sp.org/tlog-witness): `old` and the older size, the hashes of the ' +
      'proof (RFC 6962, section 2.1.2), an empty line, and the head.',
    answers: [
      {
        status: 200,
        description: 'The proof',
        forms: [],
        plain: note(`old 41\n${EXAMPLE_ROOT}\n\n${EXAMPLE_HEAD}`),
        headers: ['Cache-Control'],
      },
    ],
    refusals: ['NO_TREE_HEAD'],
  })
  async consistency(@Query() { from = 0, to }: ConsistencyParameters, @Res() reply: FastifyReply): Promise<void> {
    const { book, tree } = this.dependencies;
    const head = to === undefined ? await this.lastHead() : await findTreeHead(book.log, to);
    if (!head) throw new NoTreeHead();
    if (from > head.size) throw validationFailed({ field: 'from', message: `must be at most ${head.size}` });
    const proof = await tree.reader.consistencyProof(from, head.size);
    void reply.header('cache-control', 'no-store');
    return sendText(reply, consistencyBody(from, proof, head.note));
  }

  @Get('tile/*')
  @LogRoute({
    canBePublic: true,
    scopes: ['audit:read'],
    operationId: 'getTreeTile',
    summary: 'A tile of the tree, or the entries of its leaves',
    description:
      'The paths are those of [C2SP tlog-tiles](https://c2sp.org/tlog-tiles): `<L>/<N>[.p/<W>]` for hashes, and ' +
      '`entries/<N>[.p/<W>]` for entries, each behind its length (2 bytes, big endian). An entry is the chain hash of ' +
      'an event. Tiles never change.',
    answers: [{ status: 200, description: 'The tile', forms: [], plain: BYTES, headers: ['Cache-Control'] }],
    refusals: ['NO_SUCH_TILE', 'NO_TREE_HEAD'],
    path: [{ name: 'path', schema: { type: 'string', maxLength: 100 }, example: '0/x001/234.p/56' }],
  })
  async tile(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const path = `tile/${(request.params as Readonly<Record<'*', string>>)['*']}`;
    const tile = parseTilePath(path);
    if (!tile) throw new NoSuchTile(path);
    const { index, width } = tile;
    const level = tile.level === 'entries' ? 0 : tile.level;
    const { size } = await this.lastHead();
    // Leaves behind the last head might be lost by a restore, and a tile must never change.
    if ((index * TILE_WIDTH + width) * TILE_WIDTH ** level > size) throw new NoSuchTile(path);
    const { reader } = this.dependencies.tree;
    const bytes =
      tile.level === 'entries'
        ? entryBundleBytes(await reader.entries(index, width))
        : Buffer.concat(await reader.tile(level, index, width));
    this.cache(reply, 'max-age=31536000, immutable');
    return reply.type('application/octet-stream').send(Buffer.from(bytes));
  }

  private async lastHead(): Promise<SignedHead> {
    const { head } = await readLastTreeHead(this.dependencies.book.log);
    if (!head) throw new NoTreeHead();
    return head;
  }

  private cache(reply: FastifyReply, rule: string): void {
    void reply.header('cache-control', `${this.dependencies.isTreePublic ? 'public' : 'private'}, ${rule}`);
  }
}

const sendText = (reply: FastifyReply, text: string): FastifyReply =>
  reply.type('text/plain; charset=utf-8').send(text);
