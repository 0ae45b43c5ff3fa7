import { InvalidArgumentError } from 'commander';
import { type ClientId, isClientId } from '#domain';

/** Parses an argument that is a client's id. */
export function clientIdIn(value: string): ClientId {
  if (!isClientId(value)) throw new InvalidArgumentError('No client has such an id.');
  return value;
}
