/** Examples for the help of each command, by the names of the command and its parents. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  token: ["token --workspace acme --scope 'clients:read clients:write' --subject jane --ttl 600"],
  'admin-token rotate': ["admin-token rotate --reason 'Jane has left' --subject joe"],
  'clients find': ['clients find import', 'clients find import --workspace acme --json'],
  'clients show': ['clients show cc_0123456789abcdefghijkl'],
  'clients revoke': ["clients revoke cc_0123456789abcdefghijkl --reason 'Its secret has leaked' --subject jane"],
  'keys list': ['keys list --json'],
  'keys rotate': ['keys rotate --subject jane'],
  'keys compromise': ["keys compromise <kid> --reason 'Found in a public repository' --subject jane"],
  'master-key rotate': ['MASTER_KEY=<new> MASTER_KEY_PREVIOUS=<former> consumer-clients master-key rotate'],
  'master-key usage': ['master-key usage'],
  'tokens list': ['tokens list', 'tokens list --all --json'],
  'tokens end': [
    "tokens end 6f1f0c5e-0d3c-4f0e-9a3b-2d8f4f0f7c11 --reason 'Laptop lost'",
    'tokens end --workspace acme',
    'tokens end --all --issued-before 2026-03-01T10:00:00Z',
  ],
  'log copy': [
    'log copy --from data/event-log.db --to esdb://db.example:2113',
    'log copy --from data/event-log.db --unseal',
  ],
  'log quarantine': [
    "log quarantine subscription-weather --reason 'Tombstoned by mistake'",
    'log quarantine subscription-weather --lift',
  ],
  'log adopt': ['log adopt --list-revoked', "log adopt --reason 'The backup of Sunday'"],
  'projections list': ['projections list'],
  'projections rebuild': ['projections rebuild clients'],
  'projections compare': ['projections compare clients --json'],
  backup: ['backup /backups/2026-11-30'],
  restore: ['restore /backups/2026-11-30'],
  history: [
    'history cc_0123456789abcdefghijkl --json',
    'history cc_0123456789abcdefghijkl --url https://clients.example.com --token-file auditor.token',
  ],
  state: ['state cc_0123456789abcdefghijkl --at 2026-11-24T12:00:00Z', 'state cc_0123456789abcdefghijkl --revision 4'],
  'export events': [
    'export events export-2026 --workspace acme --data-dir /evidence/data',
    'export events export-2026 --client cc_0123456789abcdefghijkl --format csv --url https://clients.example.com',
  ],
  diff: ['diff --workspace acme --from 00000000000000004711'],
  'access-review': ['access-review review-2026 --workspace acme --at 2026-12-31T23:59:59Z'],
  evidence: [
    'evidence cc_0123456789abcdefghijkl --file evidence.json',
    'evidence cc_0123456789abcdefghijkl --dir evidence --since 4711',
  ],
  verify: [
    'verify evidence.json --key hub.example/0195d3a1+1a2b3c4d+AQ…',
    'verify evidence/ --key "$(cat log.vkey)" --since last-year/checkpoint --policy witnesses.txt --max-age 36h',
  ],
  completion: [
    'source <(consumer-clients completion bash)     # in ~/.bashrc',
    'source <(consumer-clients completion zsh)      # in ~/.zshrc, after compinit',
    'consumer-clients completion fish | source      # in ~/.config/fish/config.fish',
  ],
};

/** Returns the examples of a command as a part of its help; an empty text for a command that only has subcommands. */
export function examplesOf(path: string): string {
  const examples = EXAMPLES[path] ?? [];
  const lines = examples.map((line) => `  ${line.includes('consumer-clients') ? '' : 'consumer-clients '}${line}`);
  return lines.length === 0 ? '' : ['', 'Examples:', ...lines].join('\n');
}
