import { hash } from 'node:crypto';

/** Length of a SHA-256 in hex. */
const CHECKSUM_LENGTH = 64;

/** Returns the content as JSON, after a checksum of the JSON. */
export function toCheckedText(content: object): string {
  const json = JSON.stringify(content);
  return hash('sha256', json) + json;
}

/** Returns the content; `undefined` if the text is missing or damaged. */
export function fromCheckedText(text: string | undefined): unknown {
  const json = text?.slice(CHECKSUM_LENGTH);
  if (!json || hash('sha256', json) !== text?.slice(0, CHECKSUM_LENGTH)) return undefined;
  return JSON.parse(json);
}
