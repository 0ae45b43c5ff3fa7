import { randomBytes, randomUUID } from 'node:crypto';
import { jsonEvent } from '@eventstore/db-client';

/** The time limit and the rights of the driver's calls. Appends with credentials are unary: one gRPC call for each. */
export const CALL_OPTIONS = {
  requiresLeader: true,
  credentials: { username: 'bench', password: 'bench' },
  deadline: 10_000,
};

/** Returns a rename event as long as the service writes it. */
export const renamed = (name = 'Forecast importer 00000000') => {
  const at = new Date().toISOString();
  return jsonEvent({
    type: 'BenchRenamed',
    data: { name, renamedAt: at },
    metadata: {
      ...{ schemaVersion: 1, occurredAt: at, workspaceId: 'bench' },
      actor: { subject: 'portal-backend', roles: ['clients:read', 'clients:write'], via: 'http' },
      ...{ correlationId: randomUUID(), causationId: randomUUID(), commandId: randomUUID() },
      ...{ commandHash: hexHash(), previousHash: hexHash(), hash: hexHash() },
    },
  });
};

const hexHash = () => randomBytes(32).toString('hex');
