import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError, configurationFrom } from '#platform';
import { ownGatewaySecret } from './own-secrets.js';

describe("the standalone's gateway secret", () => {
  it('is made once, unless an operator has put one there', () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'own-secrets-'));
    const path = join(dataDir, 'gateway.secret');
    const configuration = configurationFrom({ DATA_DIR: dataDir });
    const secret = ownGatewaySecret(configuration);
    expect(secret).toMatch(/^[\w-]{43}$/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(ownGatewaySecret(configuration)).toBe(secret);
    writeFileSync(path, 'too short');
    expect(() => ownGatewaySecret(configuration)).toThrow(ConfigurationError);
  });
});
