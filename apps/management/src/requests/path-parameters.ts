import type { PipeTransform } from '@nestjs/common';
import {
  type ClientId,
  DomainError,
  type SubscriptionId,
  clientNotFound,
  isClientId,
  isSubscriptionId,
  subscriptionNotFound,
} from '#domain';

/** What can't be a client's id is answered as an id that nobody has. */
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

/** The id of a subscription that is to be registered: here the portal learns what is wrong with it. */
export const newSubscriptionIdParameter: PipeTransform<unknown, SubscriptionId> = {
  transform: (value) => {
    if (isSubscriptionId(value)) return value;
    throw new DomainError('invalid_subscription_id', 'subscriptionId must match [A-Za-z0-9_-]{1,64}', 'subscriptionId');
  },
};

export const generationParameter: PipeTransform<unknown, number> = {
  transform: (value) => {
    if (typeof value === 'string' && /^[1-9]\d{0,8}$/.test(value)) return Number(value);
    throw new DomainError('generation_not_found', 'A generation is a whole number from 1', 'generation');
  },
};
