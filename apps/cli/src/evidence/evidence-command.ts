import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createCommand, InvalidArgumentError, Option } from 'commander';
import { type ClientId, consumerClient, signingLogKeys, type WorkspaceId } from '#domain';
import type { BookOfRecord } from '#event-log';
import { parseBundle } from '#evidence';
import { type Configuration, configurationFrom, systemClock } from '#platform/without-http';
import { ReadModelQueries } from '#read-models';
import { evidenceJson, parseNote, parseTreeHeadText, vkeyOf } from '#transparency';
import {
  noteKeyOf,
  NoTreeHead,
  policyText,
  readLastTreeHead,
  streamEvidence,
  TreeHeadSigner,
  TreeReader,
} from '#tree-heads';
import { clientIdIn } from '../client-id.js';
import { masterKeysOf, withBook } from '../environment.js';
import { notFound, untilInterrupted, usageError } from '../exit.js';
import { counted, printResult } from '../output.js';
import { withReadStore } from '../projections.js';
import type { AuditedService } from '../replay/audited-service.js';
import { serviceOf, type SourceOptions, withSourceOptions, workspaceOption } from '../replay/sources.js';

interface EvidenceOptions extends SourceOptions {
  readonly workspace?: WorkspaceId;
  readonly since?: number;
  readonly dir?: string;
  readonly file?: string;
}

/** `evidence`: writes a bundle that proves a client's history (docs/evidence.md), for `verify`. */
export const evidenceCommand = () =>
  withSourceOptions(createCommand('evidence'))
    .description("write the evidence about a client's history, which `verify` verifies without the service")
    .argument('<client>', 'its id (cc_…)', clientIdIn)
    .addOption(new Option('--dir <directory>', 'write the files into this directory, which is new or empty'))
    .addOption(new Option('--file <file>', 'write one JSON file, which is new').conflicts('dir'))
    .option('--since <size>', 'prove also that the log extends the tree of this size', wholeNumber)
    .addOption(workspaceOption())
    .action(async (clientId: ClientId, options: EvidenceOptions) => {
      const target = newTarget(options);
      const service = serviceOf(options, options.workspace);
      if (service) return writtenFrom(service, { clientId, target, since: options.since });
      const configuration = configurationFrom(process.env);
      const { since, workspace } = options;
      await withBook((book) => written(book, configuration, { clientId, target, since, workspace }));
    });

function wholeNumber(value: string): number {
  if (!/^(?:0|[1-9]\d{0,14})$/.test(value)) throw new InvalidArgumentError('It must be a number of leaves.');
  return Number(value);
}

interface Target {
  readonly path: string;
  readonly isDirectory: boolean;
}

/** Throws an error of usage if the target is not named, or would replace something. */
function newTarget({ dir, file }: EvidenceOptions): Target {
  const path = dir ?? file;
  if (path === undefined) throw usageError("Say where the evidence goes, by '--dir' or '--file'");
  const isDirectory = dir !== undefined;
  const isFree = !existsSync(path) || (isDirectory && readdirSync(path).length === 0);
  if (!isFree) throw usageError(`${path} exists`);
  return { path, isDirectory };
}

interface EvidenceRequest {
  readonly clientId: ClientId;
  readonly target: Target;
  readonly since: number | undefined;
  readonly workspace?: WorkspaceId | undefined;
}

async function written(book: BookOfRecord, configuration: Configuration, request: EvidenceRequest): Promise<void> {
  const { clientId, target, since, workspace } = request;
  const { log, logId } = book;
  const masterKeys = masterKeysOf(configuration);
  await withReadStore(configuration, { create: false }, async (store) => {
    const reader = new TreeReader(new ReadModelQueries({ log, logId, store }), log);
    const { publicUrl } = configuration;
    const signer = new TreeHeadSigner({ book, reader, masterKeys, publicUrl, now: systemClock });
    // The first head fixes the log's origin, so the service signs it: its PUBLIC_URL is the right one.
    if ((await readLastTreeHead(log, 'strong')).origin === undefined) throw new NoTreeHead();
    const head = await untilInterrupted((signal) => signer.sign(signal));
    const at = systemClock().toISOString();
    const files = await streamEvidence(
      { log, reader, ring: signer.ring },
      {
        ...{ stream: consumerClient.stream(clientId), at },
        ...(since !== undefined && { since }),
        isVisible: ({ data }) => workspace === undefined || data.workspaceId === workspace,
        policy: (keys, origin) => policyText(keys, origin, at),
      },
    );
    if (!files) throw notFound(`There is no client ${clientId}`);
    write(target, files);
    const events = [...files.keys()].filter((name) => name.endsWith('.json')).length;
    const [newest] = signingLogKeys((await book.signingKeys.read()).state, 'LOG', at);
    const key = newest && vkeyOf(noteKeyOf(newest, head.origin));
    printResult({ clientId, events, treeSize: head.size, path: target.path, key }, [
      `The evidence of ${counted(events, 'event')}, in a tree of ${head.size} leaves, is in ${target.path}`,
      `Its reader needs the log's key from you, by another way than the evidence: ${key ?? 'none signs now'}`,
    ]);
  });
}

/** Asks the service for the evidence. If no head covers the latest events yet, forces one, if the token has the scope. */
async function writtenFrom(service: AuditedService, { clientId, target, since }: EvidenceRequest): Promise<void> {
  await service.ask('/v1/log/heads', {}, { method: 'POST' });
  const answer = await service.ask(`/v1/clients/${clientId}/evidence`, { since });
  const files = parseBundle(Buffer.from(await answer.arrayBuffer()));
  const head = parseTreeHeadText(parseNote(Buffer.from(files.get('checkpoint') ?? []).toString())?.text ?? '');
  if (!head) throw new Error('The service answers without a tree head');
  write(target, files);
  const events = [...files.keys()].filter((name) => name.endsWith('.json')).length;
  printResult({ clientId, events, treeSize: head.size, path: target.path }, [
    `The evidence of ${counted(events, 'event')}, in a tree of ${head.size} leaves, is in ${target.path}`,
    "Its reader needs the log's key, by another way than the evidence",
  ]);
}

function write({ path, isDirectory }: Target, files: ReadonlyMap<string, Uint8Array>): void {
  if (!isDirectory) {
    writeFileSync(path, evidenceJson(files), { flag: 'wx' });
    return;
  }
  for (const [name, bytes] of files) {
    const file = join(path, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes, { flag: 'wx' });
  }
}
