/** What names are searched by prefix and sorted by: NFKC, lower-cased, trimmed. */
export const searchKey = (name: string): string => name.normalize('NFKC').toLowerCase().trim();
