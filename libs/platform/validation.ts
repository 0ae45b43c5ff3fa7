import { type ArgumentMetadata, ValidationPipe } from '@nestjs/common';
import { ValidateIf, type ValidationError } from 'class-validator';
import { isPrototypeName } from './json-body.js';
import { type FieldError, fieldPath, type Problem, unknownField, validationFailed } from './problem.js';

const MOST_ERRORS = 20;

/**
 * Lets the field be absent. `IsOptional` would also accept `null`, and would then skip all other checks of the field.
 */
export const MayBeAbsent = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);

/**
 * Checks bodies, queries and path parameters against their class-validator classes, and turns the values into instances
 * of these classes. Types are converted only by a class's own `@Type`. Unknown fields are refused. The error is a 400
 * `Problem` (`VALIDATION_FAILED`) that names the first 20 wrong fields.
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
  /**
   * Refuses inherited names such as `constructor`. Nest would silently drop `__proto__` and `prototype`, and
   * class-validator would accept all other inherited names as known fields.
   *
   * A parameter whose type is not one of our classes stays as it is, so that the parameter's own pipe can check it. Nest
   * would convert a parameter of type `number` by `Number()`, which also accepts ` 0x1 ` and `1e3`.
   */
  override transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const name = typeof value === 'object' && value !== null ? Object.keys(value).find(isPrototypeName) : undefined;
    if (name !== undefined) throw validationFailed(unknownField(name));
    return this.toValidate(metadata) ? super.transform(value, metadata) : Promise.resolve(value);
  }
}

const problemOf = (errors: ValidationError[]): Problem =>
  validationFailed(...errors.flatMap((error) => fieldErrors(error, [])).slice(0, MOST_ERRORS));

/**
 * Returns one entry for each wrong field, with one sentence: that of the topmost decorator that failed, which says what
 * the field must be at all (class-validator lists the failures from the lowest decorator up). class-validator reports an
 * array's items as children that are named by their index.
 */
function fieldErrors(error: ValidationError, parents: readonly (string | number)[]): FieldError[] {
  const isIndex = parents.length > 0 && /^\d+$/.test(error.property);
  const path = [...parents, isIndex ? Number(error.property) : error.property];
  const { constraints = {} } = error;
  const message = Object.values(constraints).at(-1);
  const field = fieldPath(path);
  const isUnknown = 'whitelistValidation' in constraints;
  const own = isUnknown ? [unknownField(field)] : message === undefined ? [] : [{ field, message }];
  return [...own, ...(error.children ?? []).flatMap((child) => fieldErrors(child, path))];
}
