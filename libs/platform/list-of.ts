const MAX_NAMED = 5;

/** Lists names for a message to people. Names the first five, and counts the others. */
export function listOf(names: readonly string[]): string {
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
  return `${names.slice(0, MAX_NAMED).join(', ')}${more}`;
}
