/**
 * Returns the origin of the first heads of a log: the name of its tree, `<host of PUBLIC_URL>/<log id>`. Every later head
 * keeps it.
 */
export const firstOrigin = (publicUrl: string, logId: string): string => `${new URL(publicUrl).host}/${logId}`;
