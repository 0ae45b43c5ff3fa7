import { ApiProperty, ApiSchema } from '@nestjs/swagger';
import type { QuarantinesInForce } from '#event-log';

/** Why and since when an operator has quarantined a client or a subscription. */
@ApiSchema({ name: 'Quarantine' })
export class QuarantineView {
  @ApiProperty({ example: 'Its stream was tombstoned' })
  reason!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-25T09:00:00.000Z' })
  quarantinedAt!: string;
}

/** How the API's answers describe the field `quarantine`. */
export const QUARANTINE_FIELD = {
  type: QuarantineView,
  description:
    'Only while an operator has quarantined it, because its history is damaged: everything that uses it is refused, and the other fields show what could be read',
} as const;

/** Returns the field `quarantine` of an answer about this stream; no field if the stream is not quarantined. */
export function quarantineOf(
  stream: string,
  quarantines: QuarantinesInForce,
): { readonly quarantine?: QuarantineView } {
  const found = quarantines.get(stream);
  return found ? { quarantine: { reason: found.reason, quarantinedAt: found.quarantinedAt } } : {};
}
