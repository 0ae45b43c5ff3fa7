import type { PipeTransform } from '@nestjs/common';
import type { ApiParamOptions } from '@nestjs/swagger';
import {
  type ClientId,
  clientNotFound,
  DomainError,
  isClientId,
  isSubscriptionId,
  type SubscriptionId,
  subscriptionNotFound,
} from '#domain';

/** The response to a malformed client id is the same as for an unknown client: 404. */
export const clientIdParameter: PipeTransform<unknown, ClientId> = {
  transform: (value) => {
    if (!isClientId(value)) throw clientNotFound();
    return value;
  },
};

export const subscriptionIdParameter: PipeTransform<unknown, SubscriptionId> = {
  transform: (value) => {
    if (!isSubscriptionId(value)) throw subscriptionNotFound();
    return value;
  },
};

/**
 * The id of a new subscription. The portal chooses the id, so the response to a malformed id (400) states the required
 * form.
 */
export const newSubscriptionIdParameter: PipeTransform<unknown, SubscriptionId> = {
  transform: (value) => {
    if (isSubscriptionId(value)) return value;
    throw new DomainError(
      'invalid',
      'invalid_subscription_id',
      'subscriptionId must match [A-Za-z0-9_-]{1,64}',
      'subscriptionId',
    );
  },
};

export const generationParameter: PipeTransform<unknown, number> = {
  transform: (value) => {
    if (typeof value === 'string' && /^[1-9]\d{0,8}$/.test(value)) return Number(value);
    throw new DomainError('not_found', 'generation_not_found', 'A generation is a whole number from 1', 'generation');
  },
};

/** Describes path parameters. A client id or a subscription id of another form is answered with 404. */
export const CLIENT_ID: ApiParamOptions = {
  name: 'clientId',
  schema: { type: 'string', pattern: '^cc_[A-Za-z0-9]{16,40}$' },
  example: 'cc_4fT0kq9wZr1sVb7XyN2mLp',
};
export const SUBSCRIPTION_ID: ApiParamOptions = {
  name: 'subscriptionId',
  schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
  example: 'acme-weather',
};
export const GENERATION: ApiParamOptions = {
  name: 'generation',
  schema: { type: 'integer', minimum: 1, maximum: 999_999_999 },
  example: 1,
};
