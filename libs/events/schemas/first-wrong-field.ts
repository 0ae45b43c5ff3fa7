import { getMetadataStorage, ValidationTypes } from 'class-validator';

type Fields = Readonly<Record<string, unknown>>;
type Schema = new () => object;
type Rule = (object: Fields, value: unknown) => boolean;
type RuleMetadata = ReturnType<ReturnType<typeof getMetadataStorage>['getTargetValidationMetadatas']>[number];

/** For each schema: its fields, and whether the value of such a field fits. */
const checksOfSchemas = new Map<Schema, ReadonlyMap<string, (data: Fields) => boolean>>();

/**
 * Returns the name of the first field that does not fit the class-validator class; `undefined` if the data fits. A field
 * that the class doesn't have does not fit.
 *
 * The verdict is that of class-validator's `validateSync`. But `validateSync` gathers the decorators of the class anew
 * at each call, which takes several times as long as the checks themselves. Here they are gathered once.
 */
export function firstWrongField(schema: Schema, data: object): string | undefined {
  const fields = data as Fields;
  let checks = checksOfSchemas.get(schema);
  if (!checks) checksOfSchemas.set(schema, (checks = checksOf(schema)));
  for (const name of Object.keys(fields)) if (!checks.has(name)) return name;
  for (const [name, fits] of checks) if (!fits(fields)) return name;
  return undefined;
}

function checksOf(schema: Schema): ReadonlyMap<string, (data: Fields) => boolean> {
  const storage = getMetadataStorage();
  const decorators = storage.getTargetValidationMetadatas(schema, schema.name, false, false);
  const checks = new Map<string, (data: Fields) => boolean>();
  for (const [name, ofField] of Object.entries(storage.groupByPropertyName(decorators))) {
    const isCondition = ({ type }: RuleMetadata) => type === ValidationTypes.CONDITIONAL_VALIDATION;
    const conditions = ofField.filter(isCondition).map(({ constraints: [condition] }) => condition as Rule);
    const rules = ofField.filter((decorator) => !isCondition(decorator)).map(ruleOf);
    checks.set(name, (data) => {
      const value = data[name];
      return !conditions.every((holds) => holds(data, value)) || rules.every((fits) => fits(data, value));
    });
  }
  return checks;
}

/** Throws if the decorator is of a kind that no schema of an event has used so far. */
function ruleOf({
  type,
  propertyName: property,
  target,
  constraintCls,
  constraints,
  each,
  ...more
}: RuleMetadata): Rule {
  if (type !== ValidationTypes.CUSTOM_VALIDATION || more.validateIf) {
    throw new Error(`The decorator ${more.name ?? type} of ${property} is not supported in schemas of events`);
  }
  const targetName = typeof target === 'string' ? target : target.name;
  const validators = getMetadataStorage()
    .getTargetValidatorConstraints(constraintCls)
    .map(({ instance }) => instance);
  return (object, value) => {
    const details = { targetName, property, object, value, constraints };
    const fits = (item: unknown) => validators.every((validator) => validator.validate(item, details) === true);
    return each && Array.isArray(value) ? value.every(fits) : fits(value);
  };
}
