import { type Instant, type SigningKeysState, signingLogKeys } from '#domain';
import { vkeyOf } from '#transparency';
import { noteKeyOf } from './log-key-ring.js';

/**
 * Returns the keys with which heads of `origin` are signed at `at`, as a C2SP tlog-policy: a line `log` for each key of
 * the log, a line `witness` for each key of the time, and the rule that one of these must have cosigned.
 */
export function policyText(state: SigningKeysState, origin: string, at: Instant): string {
  const [logs, times] = (['LOG', 'TIME'] as const).map((purpose) =>
    signingLogKeys(state, purpose, at).map((key) => vkeyOf(noteKeyOf(key, origin))),
  ) as [string[], string[]];
  const names = times.map((_, place) => (times.length === 1 ? 'time' : `time-${place + 1}`));
  const lines = [
    ...logs.map((vkey) => `log ${vkey}`),
    ...times.map((vkey, place) => `witness ${names[place] ?? ''} ${vkey}`),
    ...(names.length > 1 ? [`group time any ${names.join(' ')}`] : []),
    'quorum time',
  ];
  return `${lines.join('\n')}\n`;
}
