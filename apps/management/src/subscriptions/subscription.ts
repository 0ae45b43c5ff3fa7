import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { subscription as aggregate, subscriptionNotFound, type SubscriptionState } from '#domain';
import type { QuarantinesInForce } from '#event-log';
import type { Revision } from '#events';
import type { DocumentOf, projections } from '#read-models';
import { QUARANTINE_FIELD, quarantineOf, type QuarantineView } from '../requests/quarantine.js';

/** A subscription in the form that the API returns. */
export class SubscriptionView {
  @ApiProperty({ example: 'sub_weather_1' })
  subscriptionId!: string;

  @ApiProperty({ example: 'acme' })
  workspaceId!: string;

  @ApiProperty({ example: 'acme-weather' })
  endpointUri!: string;

  @ApiProperty({ example: 'Weather forecasts' })
  serviceName!: string;

  @ApiProperty({ enum: ['LIVE', 'ENDED'] })
  status!: 'LIVE' | 'ENDED';

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:00:00.000Z' })
  registeredAt!: string;

  @ApiPropertyOptional({ format: 'date-time' })
  endedAt?: string;

  @ApiPropertyOptional({ example: 'The contract is over' })
  endReason?: string;

  @ApiPropertyOptional(QUARANTINE_FIELD)
  quarantine?: QuarantineView;

  @ApiProperty({ example: 0, description: 'Revision of the subscription, also its ETag' })
  revision!: number;
}

/** Returns a subscription after a command, in the same form as the read model. */
export function subscriptionView(state: SubscriptionState, revision: Revision | undefined): SubscriptionView {
  if (state.status === 'UNREGISTERED' || revision === undefined) throw subscriptionNotFound();
  const { subscriptionId, workspaceId, endpointUri, serviceName, registeredAt } = state;
  const view = { subscriptionId, workspaceId, endpointUri, serviceName, registeredAt, revision: Number(revision) };
  return state.status === 'LIVE'
    ? { ...view, status: 'LIVE' }
    : { ...view, status: 'ENDED', endedAt: state.endedAt, endReason: state.reason };
}

/**
 * Returns the API's form of a document of the `subscriptions` read model, with its quarantine, if there is one. Leaves
 * out the search field.
 */
export function storedSubscriptionView(
  { doc, revision }: DocumentOf<typeof projections.subscriptions>,
  quarantines: QuarantinesInForce,
): SubscriptionView {
  const { serviceNameKey: _, ...subscription } = doc;
  const stream = aggregate.stream(subscription.subscriptionId);
  return { ...subscription, ...quarantineOf(stream, quarantines), revision: Number(revision) };
}
