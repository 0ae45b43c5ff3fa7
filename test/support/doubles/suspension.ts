/**
 * Makes this process see its clocks as after a suspension of its virtual machine: the wall clock has gone on for so many
 * ms, and the monotonic clock has not. Lasts until `jest.restoreAllMocks`.
 */
export function suspendedFor(milliseconds: number): void {
  const now = Date.now.bind(Date);
  jest.spyOn(Date, 'now').mockImplementation(() => now() + milliseconds);
}

/**
 * Stops the clocks that this process sees, until `jest.restoreAllMocks`. Timers go on. Returns a function that moves the
 * clocks forward by so many ms.
 */
export function stopClocks(): (milliseconds: number) => void {
  let [wall, monotonic] = [Date.now(), performance.now()];
  jest.spyOn(Date, 'now').mockImplementation(() => wall);
  jest.spyOn(performance, 'now').mockImplementation(() => monotonic);
  return (milliseconds) => {
    wall += milliseconds;
    monotonic += milliseconds;
  };
}
