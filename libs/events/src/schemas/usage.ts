import { type ClientId, isClientId } from '#domain';
import { ValidateBy, isInt, isObject, min } from 'class-validator';
import type { ClientUsage, UsageRecorded } from '../usage-recorded.js';
import { IsOwnId, isInstant } from './fields.js';

type Recorded = UsageRecorded['data'];

/** By hand: there may be thousands, and class-validator would want an instance of a class for each. */
const IsUsageByClient = () => ValidateBy({ name: 'isUsageByClient', validator: { validate: isUsageByClient } });

const isUsageByClient = (value: unknown): boolean =>
  isObject(value) &&
  Object.keys(value).length > 0 &&
  Object.entries(value).every(([clientId, usage]) => isClientId(clientId) && isClientUsage(usage));

const isClientUsage = (value: unknown): boolean => {
  if (!isObject<ClientUsage>(value) || Object.keys(value).length !== 2) return false;
  return isInt(value.uses) && min(value.uses, 1) && isInstant(value.lastUsedAt);
};

export class UsageRecordedV1 implements Recorded {
  @IsOwnId() process!: string;
  @IsUsageByClient() clients!: Readonly<Record<ClientId, ClientUsage>>;
}
