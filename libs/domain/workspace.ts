/** Id of the consuming organisation that owns clients and subscriptions: `[A-Za-z0-9_-]{1,64}`. */
export type WorkspaceId = string;

const WORKSPACE_ID = /^[A-Za-z0-9_-]{1,64}$/;

export const isWorkspaceId = (value: unknown): value is WorkspaceId =>
  typeof value === 'string' && WORKSPACE_ID.test(value);
