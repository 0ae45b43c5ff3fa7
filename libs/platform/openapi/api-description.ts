import type {
  ComponentsObject,
  OperationObject,
  ReferenceObject,
  SchemaObject,
  ServerObject,
  TagObject,
} from '@nestjs/swagger';

/** The methods of which an OpenAPI document can describe operations. */
export type DescribedMethod = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** An operation of the OpenAPI document. Generated clients take their functions' names from the `operationId`. */
export type DescribedOperation = OperationObject & { readonly operationId: string; readonly summary: string };

/** A schema by its name in the document's `components`. */
export type Schemas = Readonly<Record<string, SchemaObject | ReferenceObject>>;

/** The part of the OpenAPI document that describes one module. */
export interface DescribedPart {
  readonly operations?: readonly {
    readonly path: string;
    readonly method: DescribedMethod;
    readonly operation: DescribedOperation;
  }[];
  readonly schemas?: Schemas;
  readonly securitySchemes?: ComponentsObject['securitySchemes'];
  readonly tags?: readonly TagObject[];
  /** A URL under which callers reach this module, in addition to the address that serves the document. */
  readonly server?: ServerObject;
}

/**
 * Collects the descriptions of all routes that this process serves, for its OpenAPI document. Each module adds the
 * routes that Nest does not know. So the document of each process is true, and that of the standalone is complete.
 */
export class ApiDescription {
  readonly #parts: DescribedPart[] = [];

  get parts(): readonly DescribedPart[] {
    return this.#parts;
  }

  add(part: DescribedPart): void {
    this.#parts.push(part);
  }
}
