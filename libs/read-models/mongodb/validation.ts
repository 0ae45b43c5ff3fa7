import type { DocumentSchema, FieldSchema } from '#read-models';

/** The part of MongoDB's JSON schema language that our documents need. */
export interface JsonSchema {
  readonly bsonType: 'string' | 'int' | 'long' | 'object' | 'array';
  readonly enum?: readonly string[];
  readonly items?: JsonSchema;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean;
}

/** The fields that this adapter stores in addition to each document's own fields. */
const storeFields: Readonly<Record<string, JsonSchema>> = {
  _id: { bsonType: 'string' },
  _position: { bsonType: 'string' },
  _revision: { bsonType: 'long' },
};

/** Returns a validator. With it, MongoDB refuses every document that does not match the schema. */
export const validatorOf = (schema: DocumentSchema): { readonly $jsonSchema: JsonSchema } => ({
  $jsonSchema: objectOf(schema, storeFields),
});

const objectOf = (
  { fields, optional = [], open = false }: DocumentSchema,
  others: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema => {
  const ours = Object.entries(fields).map(([field, schema]) => [field, jsonSchemaOf(schema)] as const);
  const properties = { ...others, ...Object.fromEntries(ours) };
  return {
    bsonType: 'object',
    required: Object.keys(properties).filter((field) => !optional.includes(field)),
    properties,
    additionalProperties: open,
  };
};

function jsonSchemaOf(schema: FieldSchema): JsonSchema {
  if (typeof schema === 'string') return { bsonType: schema === 'integer' ? 'int' : schema };
  if ('oneOf' in schema) return { bsonType: 'string', enum: schema.oneOf };
  if ('listOf' in schema) return { bsonType: 'array', items: jsonSchemaOf(schema.listOf) };
  return objectOf(schema);
}
