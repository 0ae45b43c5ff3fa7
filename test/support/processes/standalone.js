const { mkdtempSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { Program } = require('./program.js');

class Standalone extends Program {
  static async start({ dataDir, env, ...options } = {}) {
    const directory = dataDir ?? mkdtempSync(join(tmpdir(), 'consumer-clients-'));
    const standalone = await this.launch('standalone', {
      env: { DATA_DIR: directory, LOG_LEVEL: 'warn', ...env },
      ...options,
    });
    standalone.dataDir = directory;
    standalone.ownsDataDir = dataDir === undefined;
    return standalone;
  }

  static async startReady(options) {
    const standalone = await this.start(options);
    await standalone.ready();
    return standalone;
  }

  get adminToken() {
    return readFileSync(join(this.dataDir, 'admin.token'), 'utf8').trim();
  }

  async stop() {
    const code = await super.stop();
    if (this.ownsDataDir) rmSync(this.dataDir, { recursive: true, force: true });
    return code;
  }
}

module.exports = { Standalone };
