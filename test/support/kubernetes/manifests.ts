import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv, { type AnySchemaObject } from 'ajv';
import { parseAllDocuments } from 'yaml';

/** A Kubernetes object, as its YAML file has it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: Record<string, unknown>;
  readonly data?: Readonly<Record<string, string>>;
}

export const manifestsOf = (yaml: string): Manifest[] =>
  parseAllDocuments(yaml, { strict: true, uniqueKeys: true }).map((document) => {
    if (document.errors[0]) throw document.errors[0];
    return document.toJS() as Manifest;
  });

/**
 * The schemas of custom resources, by `apiVersion kind`: those of Gateway API 1.6.3 (the experimental channel) and of
 * Istio 1.32.0, from `config/crd` and `kubernetes/customresourcedefinitions.gen.yaml` of their Go modules (Apache-2.0),
 * without descriptions and rules in CEL.
 */
const SCHEMAS = JSON.parse(readFileSync(join(__dirname, 'crds.json'), 'utf8')) as Record<string, AnySchemaObject>;

/**
 * Returns what is wrong with a custom resource, including fields that its schema does not know, which a server would
 * drop. Throws for a kind without a schema here.
 */
export function faultsOf(manifest: Manifest): string[] {
  const schema = SCHEMAS[`${manifest.apiVersion} ${manifest.kind}`];
  if (!schema) throw new Error(`No schema of ${manifest.apiVersion} ${manifest.kind}`);
  const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(closed(schema, true));
  if (validate(manifest) === true) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) =>
    [instancePath, message, JSON.stringify(params)].join(' '),
  );
}

/** The schema, in which no object has other properties than those that are listed. */
function closed(schema: AnySchemaObject, isRoot = false): AnySchemaObject {
  const { properties, items } = schema as { properties?: Record<string, AnySchemaObject>; items?: AnySchemaObject };
  const isOpen = isRoot || schema['x-kubernetes-preserve-unknown-fields'] === true;
  return {
    ...schema,
    ...(items && { items: closed(items) }),
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, property]) => [
          name,
          // A server completes and checks the metadata.
          isRoot && name === 'metadata' ? {} : closed(property),
        ]),
      ),
      ...(!isOpen && { additionalProperties: false }),
    }),
  };
}
