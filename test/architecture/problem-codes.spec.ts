import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { PROBLEM_CODES } from '#platform/openapi';

const ROOT = join(__dirname, '../..');

/** Codes of failures that only commands of the command line meet. */
const OF_THE_COMMAND_LINE = [
  'SIGNING_KEY_EXISTS',
  'SIGNING_KEY_NOT_FOUND',
  'SIGNING_KEY_TOO_YOUNG',
  'SIGNING_KEY_NOT_PUBLISHED',
];
/** Codes of failures that logins translate into errors of OAuth. */
const OF_OAUTH = ['CLIENT_NOT_ASSIGNED', 'TOO_MANY_TOKEN_REVOCATIONS'];

const STATUS_OF_KIND: Readonly<Record<string, number>> = {
  invalid: 400,
  not_found: 404,
  conflict: 409,
  precondition_failed: 412,
  too_large: 413,
  key_reused: 422,
  too_many: 429,
  unavailable: 503,
};

/** A place in the code that makes an error with a code. */
interface ThrownCode {
  readonly code: string;
  readonly status: number | undefined;
  /** Matches each detail that is sent; `undefined` if the detail comes from elsewhere. */
  readonly detail: RegExp | undefined;
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The text of a literal, as a pattern in which each `${…}` matches any text. */
function patternOf(node: ts.Node | undefined): RegExp | undefined {
  if (!node) return undefined;
  if (ts.isStringLiteralLike(node)) return new RegExp(`^${escaped(node.text)}$`);
  if (!ts.isTemplateExpression(node)) return undefined;
  const spans = node.templateSpans.map(({ literal }) => `.*${escaped(literal.text)}`);
  return new RegExp(`^${escaped(node.head.text)}${spans.join('')}$`);
}

const literal = (node: ts.Node | undefined): string | undefined =>
  node && ts.isStringLiteralLike(node) ? node.text : undefined;

/** The properties of a class that have a literal as their value, and the defaults of its constructor's parameters. */
function literalsOf(declaration: ts.ClassDeclaration): Map<string, ts.Expression> {
  const found = new Map<string, ts.Expression>();
  for (const member of declaration.members) {
    if (ts.isPropertyDeclaration(member) && member.initializer) found.set(member.name.getText(), member.initializer);
    if (!ts.isConstructorDeclaration(member)) continue;
    for (const { name, initializer } of member.parameters) if (initializer) found.set(name.getText(), initializer);
  }
  return found;
}

function thrownIn(file: string): ThrownCode[] {
  const source = ts.createSourceFile(file, readFileSync(join(ROOT, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const thrown: ThrownCode[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node)) {
      const [first, code, detail] = node.arguments ?? [];
      const name = node.expression.getText();
      const given = literal(code);
      if (name === 'Problem' && given !== undefined) {
        thrown.push({ code: given, status: Number(first?.getText()) || undefined, detail: patternOf(detail) });
      }
      if (name === 'DomainError' && given !== undefined) {
        const status = STATUS_OF_KIND[literal(first) ?? ''];
        thrown.push({ code: given.toUpperCase(), status, detail: patternOf(detail) });
      }
    }
    if (ts.isCallExpression(node) && node.expression.getText() === 'trimmedText') {
      const code = literal(node.arguments[2]);
      if (code !== undefined) thrown.push({ code: code.toUpperCase(), status: 400, detail: undefined });
    }
    if (
      ts.isClassDeclaration(node) &&
      /Failure|StoreUnavailable|LogUnavailable/.test(node.heritageClauses?.[0]?.getText() ?? '')
    ) {
      const values = literalsOf(node);
      const code = literal(values.get('code'));
      const status = STATUS_OF_KIND[literal(values.get('kind')) ?? 'unavailable'];
      if (code !== undefined) {
        thrown.push({ code: code.toUpperCase(), status, detail: patternOf(values.get('detail')) });
      }
    }
    if (ts.isVariableDeclaration(node) && node.name.getText() === 'HTTP_REFUSALS') {
      for (const property of (node.initializer as ts.ObjectLiteralExpression).properties) {
        if (!ts.isPropertyAssignment(property)) continue;
        const [code, detail] = (property.initializer as ts.ArrayLiteralExpression).elements;
        thrown.push({
          code: literal(code) ?? '',
          status: Number(property.name.getText()),
          detail: patternOf(detail),
        });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return thrown;
}

const thrown = ts.sys
  .readDirectory(ROOT, ['.ts'], ['dist', 'node_modules'], ['apps/**/*', 'libs/**/*'])
  .filter((file) => !file.endsWith('.spec.ts'))
  .map((file) => file.slice(ROOT.length + 1))
  .filter((file) => !file.startsWith('apps/cli/') && !file.startsWith('libs/platform/openapi/'))
  .flatMap(thrownIn);

describe('The table of problem codes', () => {
  it('has each code that an answer can carry, and no other', () => {
    // `httpRefusal` sends this code for statuses of Fastify that no one has met yet.
    const codes = new Set([...thrown.map(({ code }) => code), 'REFUSED']);
    for (const code of [...OF_THE_COMMAND_LINE, ...OF_OAUTH]) codes.delete(code);
    expect(Object.keys(PROBLEM_CODES).sort()).toEqual([...codes].sort());
  });

  it('excepts only codes that exist', () => {
    const codes = thrown.map(({ code }) => code);
    for (const code of [...OF_THE_COMMAND_LINE, ...OF_OAUTH]) expect(codes).toContain(code);
  });

  it.each(Object.entries(PROBLEM_CODES))('has the status and a detail of %s', (code, { status, detail }) => {
    const places = thrown.filter((each) => each.code === code);
    const statuses = new Set(places.flatMap((place) => place.status ?? []));
    if (places.length > 0) expect([...statuses]).toEqual([status]);
    const details = places.map((place) => place.detail);
    if (details.length > 0 && !details.includes(undefined)) {
      expect(details.filter((pattern) => pattern?.test(detail))).not.toEqual([]);
    }
  });
});
