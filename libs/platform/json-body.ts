import type { FastifyInstance } from 'fastify';
import { fieldPath, Problem, validationFailed } from './problem.js';
import { requirePlainUtf8 } from './request-form.js';

/** The maximum size of a request's body, in bytes. */
export const MAX_BODY_BYTES = 65_536;

const MAX_DEPTH = 32;
const JSON_TYPE = /^application\/(?:[\w.!#$&^-]+\+)?json\s*(?:;|$)/i;

/**
 * Whether the name is `prototype` or a name that every object inherits (`__proto__`, `constructor`, …). Such names have
 * a meaning in JavaScript itself, so they are dangerous as names of fields.
 */
export const isPrototypeName = (name: string): boolean => name === 'prototype' || name in Object.prototype;

/** Makes Fastify accept only strict JSON bodies. Any other content type is answered with 415. */
export function acceptJsonBodies(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(JSON_TYPE, { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES }, (request, body, done) => {
    requirePlainUtf8(request.raw);
    done(null, body.length === 0 ? undefined : jsonObjectIn(Buffer.from(body)));
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses the bytes as a JSON object (RFC 8259). Throws a 400 `Problem` with one of two codes: `MALFORMED_JSON` if the
 * bytes are not JSON in UTF-8; `VALIDATION_FAILED` if the JSON is not an object, or if a field is repeated, has a
 * prototype's name, contains a lone surrogate or a number that no double can hold (`1e999`), or is nested too deep. So
 * `canonicalJson` accepts every object that is returned. With `VALIDATION_FAILED`, the problem names the field (`body`
 * if the JSON is not an object).
 */
export function jsonObjectIn(bytes: Uint8Array): Record<string, unknown> {
  const { text, value } = parsed(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw validationFailed({ field: 'body', message: 'must be a JSON object' });
  }
  // Each member has exactly one colon outside of strings. If a name is repeated, `JSON.parse` keeps only the last
  // member, so there are fewer members than colons.
  if (countMembers(value, undefined, 1) !== countColons(text)) {
    throw validationFailed({ field: firstRepeated(text), message: 'must not be given twice' });
  }
  return value as Record<string, unknown>;
}

function parsed(bytes: Uint8Array): { text: string; value: unknown } {
  try {
    const text = utf8.decode(bytes);
    return { text, value: JSON.parse(text) };
  } catch {
    throw new Problem(400, 'MALFORMED_JSON', 'The body is not JSON in UTF-8');
  }
}

/** The path of a value, as a linked list from the value up to the root. */
type Path = { readonly segment: string | number; readonly parent: Path } | undefined;

const fieldAt = (path: Path): string => {
  const segments: (string | number)[] = [];
  for (let at = path; at; at = at.parent) segments.unshift(at.segment);
  return fieldPath(segments);
};

/** Counts the members of all objects in the value. Throws a `Problem` for a name or a value that no field may have. */
function countMembers(value: unknown, path: Path, depth: number): number {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw validationFailed({ field: fieldAt(path), message: 'must be well-formed Unicode' });
    return 0;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw validationFailed({ field: fieldAt(path), message: 'must be a number in the range of a double' });
  }
  if (typeof value !== 'object' || value === null) return 0;
  if (depth > MAX_DEPTH) {
    throw validationFailed({ field: fieldAt(path), message: `must not be nested over ${MAX_DEPTH} levels` });
  }
  let members = 0;
  if (Array.isArray(value)) {
    value.forEach((item: unknown, index) => {
      members += countMembers(item, { segment: index, parent: path }, depth + 1);
    });
    return members;
  }
  for (const [name, item] of Object.entries(value)) {
    const member = { segment: name, parent: path };
    if (isPrototypeName(name) || !name.isWellFormed()) {
      throw validationFailed({ field: fieldAt(member), message: 'is not an allowed name' });
    }
    members += 1 + countMembers(item, member, depth + 1);
  }
  return members;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** Counts the colons outside of strings. The text must be valid JSON. */
function countColons(text: string): number {
  let colons = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) inString = !inString;
    else if (char === BACKSLASH) at += 1;
    else if (char === COLON && !inString) colons += 1;
  }
  return colons;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],]/g;

interface OpenValue {
  /** The names that were seen so far in this object; `undefined` for an array. */
  readonly names: Set<string> | undefined;
  segment: string | number;
  nameIsNext: boolean;
}

/** The path of the first field that repeats a name of the same object. The text must be valid JSON. */
function firstRepeated(text: string): string {
  const open: OpenValue[] = [];
  for (const [token] of text.matchAll(TOKEN)) {
    const current = open.at(-1);
    if (token === '{') open.push({ names: new Set(), segment: '', nameIsNext: true });
    else if (token === '[') open.push({ names: undefined, segment: 0, nameIsNext: false });
    else if (token === '}' || token === ']') open.pop();
    else if (current && token === ',') {
      if (typeof current.segment === 'number') current.segment += 1;
      else current.nameIsNext = true;
    } else if (current?.names && current.nameIsNext) {
      const name = String(JSON.parse(token));
      current.segment = name;
      current.nameIsNext = false;
      if (current.names.has(name)) return fieldPath(open.map(({ segment }) => segment));
      current.names.add(name);
    }
  }
  throw new Error('No name is repeated');
}
