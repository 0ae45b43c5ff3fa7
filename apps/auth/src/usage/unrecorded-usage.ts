import type { ClientId, Instant } from '#domain';
import type { ClientUsage, UsageRecorded } from '#events';

/** What an event has besides its clients, and then some. */
const ENVELOPE_BYTES = 4_096;
/** Half of what an append may hold. */
export const MAX_USAGE_EVENT_BYTES = 524_288;

type UsageByClient = UsageRecorded['data']['clients'];

/** Uses that no event tells of yet, by client. */
export class UnrecordedUsage {
  private readonly clients = new Map<ClientId, { uses: number; lastUsedAt: Instant }>();

  seen(clientId: ClientId, at: Instant): void {
    const known = this.clients.get(clientId);
    if (!known) {
      this.clients.set(clientId, { uses: 1, lastUsedAt: at });
      return;
    }
    known.uses += 1;
    if (known.lastUsedAt < at) known.lastUsedAt = at;
  }

  /** All of it, in parts that each fit into an event of `MAX_USAGE_EVENT_BYTES`. Nothing is left here. */
  take(): UsageByClient[] {
    const parts: UsageByClient[] = [];
    let part: Record<ClientId, ClientUsage> = {};
    let bytes = ENVELOPE_BYTES;
    for (const [clientId, usage] of this.clients) {
      const added = Buffer.byteLength(JSON.stringify({ [clientId]: usage }));
      if (bytes + added > MAX_USAGE_EVENT_BYTES) {
        parts.push(part);
        part = {};
        bytes = ENVELOPE_BYTES;
      }
      part[clientId] = usage;
      bytes += added;
    }
    if (this.clients.size > 0) parts.push(part);
    this.clients.clear();
    return parts;
  }
}
