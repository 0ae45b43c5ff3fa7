const DEFAULT_WINDOW = 32;

const isMatch = (expression) => {
  if (expression.getRegex() !== '') {
    const regex = new RegExp(expression.getRegex());
    return (text) => regex.test(text);
  }
  const prefixes = expression.getPrefixList();
  return (text) => prefixes.some((prefix) => text.startsWith(prefix));
};

/**
 * Reads the `FilterOptions` of a subscription. `matches` tells whether the subscription delivers a record. The log is
 * searched in windows of `window` records. `checkpointEvery` is the number of searched records after which a checkpoint
 * message is sent.
 */
export const filterOf = (options) => {
  const isByType = options.hasEventType();
  const isWanted = isMatch(isByType ? options.getEventType() : options.getStreamIdentifier());
  const window = options.hasMax() ? options.getMax() : DEFAULT_WINDOW;
  return {
    matches: ({ type, stream }) => isWanted(isByType ? type : stream),
    window,
    checkpointEvery: window * options.getCheckpointintervalmultiplier(),
  };
};
