import { Argument, type Command, createCommand } from 'commander';
import { printResult } from './output.js';

/** Where the user is: the names of the commands so far, each after a space, and the words that may come next. */
interface Place {
  readonly path: string;
  readonly words: readonly string[];
}

const SCRIPTS = { bash, zsh, fish };
type Shell = keyof typeof SCRIPTS;
const SHELLS = Object.keys(SCRIPTS) as Shell[];

/** `completion`: prints a script with which the shell completes commands and options. */
export const completionCommand = (): Command =>
  createCommand('completion')
    .description('print a script that makes the shell complete commands and options')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action((shell: Shell, _options: object, command: Command) => {
      const script = SCRIPTS[shell](placesOf(command.parent ?? command));
      printResult({ shell, script }, [script]);
    });

/** Returns the places of the command and of all its subcommands. The options of `program` are possible everywhere. */
function placesOf(program: Command): Place[] {
  const everywhere = [...longOptionsOf(program), '--help'];
  const below = (command: Command, path: string): Place[] => [
    {
      path,
      words: [
        ...command.commands.map((subcommand) => subcommand.name()),
        ...command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices),
        ...(command === program ? [] : longOptionsOf(command)),
        ...everywhere,
      ],
    },
    ...command.commands.flatMap((subcommand) => below(subcommand, `${path} ${subcommand.name()}`)),
  ];
  return below(program, '');
}

const longOptionsOf = ({ options }: Command): string[] => options.flatMap(({ long }) => (long ? [long] : []));

const quoted = (text: string): string => `'${text}'`;

/** The patterns of all places but the first, for `case`. */
const patternsOf = (places: readonly Place[], separator: string): string =>
  places
    .filter(({ path }) => path !== '')
    .map(({ path }) => quoted(path))
    .join(separator);

/** The part of the scripts for bash and zsh that finds the place, and sets `candidates` to the words for it. */
const findCandidates = (places: readonly Place[], wordsBefore: string): string => `  local word place='' candidates=''
  for word in ${wordsBefore}; do
    case "$place $word" in
      ${patternsOf(places, '|')}) place="$place $word" ;;
    esac
  done
  case "$place" in
${places.map(({ path, words }) => `    ${quoted(path)}) candidates=${quoted(words.join(' '))} ;;`).join('\n')}
  esac`;

function bash(places: readonly Place[]): string {
  return `_consumer_clients() {
${findCandidates(places, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"')}
  COMPREPLY=($(compgen -W "$candidates" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _consumer_clients consumer-clients`;
}

function zsh(places: readonly Place[]): string {
  return `_consumer_clients() {
${findCandidates(places, '"${(@)words[2,CURRENT-1]}"')}
  compadd -- \${=candidates} || _files
}
compdef _consumer_clients consumer-clients`;
}

function fish(places: readonly Place[]): string {
  const complete = ({ path, words }: Place) =>
    `complete -c consumer-clients -n "__consumer_clients_is_at '${path}'" -a ${quoted(words.join(' '))}`;
  return `function __consumer_clients_is_at
  set -l place ''
  set -l words (commandline -opc)
  set -e words[1]
  for word in $words
    switch "$place $word"
      case ${patternsOf(places, ' ')}
        set place "$place $word"
    end
  end
  test "$place" = "$argv[1]"
end
${places.map(complete).join('\n')}`;
}
