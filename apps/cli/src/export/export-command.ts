import { createCommand, Option } from 'commander';
import type { ClientId, WorkspaceId } from '#domain';
import type { Position } from '#events';
import { clientIdIn } from '../client-id.js';
import { withBook } from '../environment.js';
import { CommandFailed, ExitCode, untilInterrupted } from '../exit.js';
import { counted, printResult } from '../output.js';
import { positionIn } from '../replay/basis-options.js';
import {
  requireWorkspace,
  serviceOf,
  type SourceOptions,
  withSourceOptions,
  workspaceOption,
} from '../replay/sources.js';
import { eventsOfLog, eventsOfService, type ExportSource } from './export-sources.js';
import { ExportedFiles, type ExportFormat, type ExportQuery } from './exported-files.js';

interface EventsOptions extends SourceOptions {
  readonly workspace?: WorkspaceId;
  readonly client?: ClientId;
  readonly to?: Position;
  readonly format: ExportFormat;
}

/** `export events`: writes what the log has, with a manifest by which it can be checked. */
export const exportCommand = () =>
  createCommand('export')
    .description('write what the log has into files, with a manifest of their hashes')
    .addCommand(
      withSourceOptions(createCommand('events'))
        .description('write the events of a workspace or a client, in the order of the log')
        .argument('<directory>', 'the files are written into it; an interrupted export goes on there')
        .addOption(workspaceOption())
        .addOption(new Option('--client <id>', 'only the events of this client (cc_…)').argParser(clientIdIn))
        .addOption(
          new Option('--to <position>', 'up to this place in the log (20 digits); its end by default').argParser(
            positionIn,
          ),
        )
        .addOption(
          new Option('--format <format>', 'the form of the events').choices(['ndjson', 'csv']).default('ndjson'),
        )
        .action(exportEvents),
    );

async function exportEvents(directory: string, options: EventsOptions): Promise<void> {
  const { workspace, client, to, format } = options;
  const query: ExportQuery = {
    ...(workspace !== undefined && { workspaceId: workspace }),
    ...(client !== undefined && { clientId: client }),
    ...(to !== undefined && { to }),
    format,
  };
  const service = serviceOf(options, workspace);
  const run = (source: ExportSource) =>
    untilInterrupted((signal) => ExportedFiles.write(directory, { query, source, signal }));
  const manifest = service
    ? await run(eventsOfService(service, { clientId: client }))
    : await withBook((book) => run(eventsOfLog(book, { workspaceId: requireWorkspace(workspace), clientId: client })));
  const { events, unreadable, through } = manifest;
  printResult(manifest, [
    `${counted(events, 'event')} up to position ${through} in ${directory}: events.${format}, export.json about it, and`,
    `MANIFEST with the hashes of both ('sha256sum -c MANIFEST')`,
  ]);
  if (unreadable > 0) {
    throw new CommandFailed(ExitCode.INCOMPLETE, `${counted(unreadable, 'event')} can't be read: see events.${format}`);
  }
}
