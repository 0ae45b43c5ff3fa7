/** All rights that a management token can grant. */
export const MANAGEMENT_SCOPES = [
  'clients:write',
  'clients:read',
  'subscriptions:write',
  'audit:read',
  'analytics:read',
  'tokens:introspect',
  'workspaces:any',
] as const;

export type ManagementScope = (typeof MANAGEMENT_SCOPES)[number];

export const isManagementScope = (value: string): value is ManagementScope =>
  (MANAGEMENT_SCOPES as readonly string[]).includes(value);
