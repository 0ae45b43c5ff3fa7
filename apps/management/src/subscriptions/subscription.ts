import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { subscription as aggregate, subscriptionNotFound, type SubscriptionState } from '#domain';
import type { QuarantinesInForce } from '#event-log';
import type { Revision } from '#events';
import type { DocumentOf, projections } from '#read-models';
import { QUARANTINE_FIELD, quarantineOf, type QuarantineView } from '../requests/quarantine.js';

/** A subscription in the form that the API returns. */
@ApiSchema({ name: 'Subscription' })
export class SubscriptionView {
  @ApiProperty({ example: 'acme-weather' })
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

  @ApiProperty({ type: 'integer', minimum: 0, example: 0, description: 'Revision of the subscription, also its ETag' })
  revision!: number;
}

/** A live subscription, for the examples of the OpenAPI document. */
export const EXAMPLE_SUBSCRIPTION: SubscriptionView = {
  subscriptionId: 'acme-weather',
  workspaceId: 'acme',
  endpointUri: 'acme-weather',
  serviceName: 'Weather forecasts',
  status: 'LIVE',
  registeredAt: '2026-11-24T09:00:00.000Z',
  revision: 0,
};

/** The same subscription after its end. */
export const EXAMPLE_ENDED_SUBSCRIPTION: SubscriptionView = {
  ...EXAMPLE_SUBSCRIPTION,
  status: 'ENDED',
  endedAt: '2026-11-30T16:00:00.000Z',
  endReason: 'The contract is over',
  revision: 1,
};

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
