import { type ArgumentMetadata, ValidationPipe } from '@nestjs/common';
import { ValidateIf, type ValidationError } from 'class-validator';
import { isPrototypeName } from './json-body.js';
import { type FieldError, type Problem, fieldPath, validationFailed } from './problem.js';

const MOST_ERRORS = 20;

/** The field may be absent; `IsOptional` would let null through too, past all that is said of the field. */
export const MayBeAbsent = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);

/**
 * Checks bodies, queries and path parameters against their class-validator classes, and makes instances of them. No
 * type is converted but by the class's own `@Type`, unknown fields are refused, and what is wrong is a 400 `Problem`
 * (`VALIDATION_FAILED`) that names each field, the first 20 of them.
 */
export const validationPipe = (): ValidationPipe =>
  new StrictValidationPipe({
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    transform: true,
    validationError: { target: false, value: false },
    exceptionFactory: problemOf,
  });

class StrictValidationPipe extends ValidationPipe {
  /** Nest drops `__proto__` and `prototype` in silence, and class-validator takes every other inherited name for a known field. */
  override transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const name = typeof value === 'object' && value !== null ? Object.keys(value).find(isPrototypeName) : undefined;
    if (name !== undefined) throw validationFailed({ field: name, message: `property ${name} should not exist` });
    return super.transform(value, metadata);
  }

  /** Nest would make numbers of `number` parameters by `Number()`: ` 0x1 ` and `1e3` too, before their own pipe. */
  protected override transformPrimitive(value: unknown): unknown {
    return value;
  }
}

const problemOf = (errors: ValidationError[]): Problem =>
  validationFailed(...errors.flatMap((error) => fieldErrors(error, [])).slice(0, MOST_ERRORS));

/** One entry a field; an array's items are children named by their index. */
function fieldErrors(error: ValidationError, parents: readonly (string | number)[]): FieldError[] {
  const isIndex = parents.length > 0 && /^\d+$/.test(error.property);
  const path = [...parents, isIndex ? Number(error.property) : error.property];
  const messages = Object.values(error.constraints ?? {});
  const own = messages.length > 0 ? [{ field: fieldPath(path), message: messages.join('; ') }] : [];
  return [...own, ...(error.children ?? []).flatMap((child) => fieldErrors(child, path))];
}
