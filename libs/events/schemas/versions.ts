import type { DataOf, DomainEvent } from '#domain';

/** One version of an event type. */
export interface Version<Data extends object = object> {
  readonly schema: new () => Data;
  /** Sensitive fields. The hash chain and everything that leaves the log hold only the SHA-256 of such a field. */
  readonly sensitive?: readonly ('verifier' | 'wrappedKey')[];
  /** Converts data of this version to data of the next version. Absent on the current version. */
  upcast?(data: object): object;
  /**
   * Converts data of the current version to data of the version before. Present as long as the processes of a release
   * that does not know the current version may still run. Returns `undefined` if the version before has nothing to say
   * about the event, which is then not written. Only an event that no aggregate folds may be left out like this. Any
   * other event, converted and read back, must mean the same, or what the release before would have recorded; if that
   * is impossible, throws `NotDuringUpgrade`.
   */
  downcast?(data: object): object | undefined;
  /**
   * Present on the first version of a type that the release before does not know. As long as processes of that release
   * may run, such an event is refused with `NotDuringUpgrade`. The error names the first of these fields that the event
   * has: a command asks for the event by an input of the same name.
   */
  readonly newTypeFields?: readonly string[];
}
type OlderVersion = Version & Required<Pick<Version, 'upcast'>>;

/**
 * The versions of each event type: the first element is version 1, and new events are written in the last version.
 * Types and versions are stored for ever.
 */
export type VersionsOf<Event extends DomainEvent> = {
  readonly [Type in Event['type']]: readonly [...OlderVersion[], Version<DataOf<Event, Type>>];
};
