import { row } from '../report.mjs';
import { alternate, percentile } from '../rounds.mjs';
import { pacedLogins, warmLogins } from '../warm-logins.mjs';

const section = 'Warm logins, 200 a second';

/** Measures how long logins take that come at a fixed rate, with secrets that were verified once before. */
export async function logins({ bench, large, small }) {
  bench.say('logins');
  const { rounds, seconds } = bench.isQuick ? { rounds: 1, seconds: 0.2 } : { rounds: 5, seconds: 3 };
  const [ofLarge, ofSmall] = [await warmLogins(large.server), await warmLogins(small.server)];
  const times = await alternate(rounds, {
    large: () => pacedLogins(large.server, ofLarge, seconds),
    small: () => pacedLogins(small.server, ofSmall, seconds),
  });
  return [
    ['p50', 0.5],
    ['p99', 0.99],
  ].map(([name, fraction]) =>
    row({
      ...{ section, name: `client_credentials login, ${name}`, unit: 'ms' },
      ...{ value: percentile(times.large.flat(), fraction), reference: percentile(times.small.flat(), fraction) },
      against: `${small.size.toLocaleString('en')} clients`,
    }),
  );
}
