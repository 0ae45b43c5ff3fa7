/** The type of a document's field. */
export type FieldSchema =
  | 'string'
  | 'integer'
  /** An object that may have any fields. */
  | 'object'
  | { readonly oneOf: readonly string[] }
  | { readonly listOf: FieldSchema }
  | DocumentSchema;

/**
 * Describes the fields of a document, or of an object inside a document. The compiler checks that every field of `Doc`
 * is described.
 */
export interface DocumentSchema<Doc = Record<string, unknown>> {
  readonly fields: Readonly<Record<keyof Doc & string, FieldSchema>>;
  /** Names of the fields that may be absent. */
  readonly optional?: readonly (keyof Doc & string)[];
  /** Whether a document may also have fields that this schema does not describe (default: no). */
  readonly open?: boolean;
}
