import { IsUUID } from 'class-validator';
import type { LogCreated } from '../log-created.js';
import { IsInstant } from './fields.js';

type Created = LogCreated['data'];

export class LogCreatedV1 implements Created {
  @IsUUID() logId!: string;
  @IsInstant() createdAt!: string;
}
