/**
 * Makes this process see its clocks as after a suspension of its virtual machine: the wall clock has gone on for so many
 * ms, and the monotonic clock has not. Lasts until `jest.restoreAllMocks`.
 */
export function suspendedFor(milliseconds: number): void {
  const now = Date.now.bind(Date);
  jest.spyOn(Date, 'now').mockImplementation(() => now() + milliseconds);
}
