/**
 * Decodes base64url. Returns `undefined` if the text is not canonical: two different texts must never be the same
 * token.
 */
export function canonicalBytes(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/**
 * Decodes a JSON object from base64url. Returns `undefined` for any other text, also for base64url that is not
 * canonical.
 */
export function canonicalJsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(canonicalBytes(text)?.toString() ?? '');
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
