/** Returns the first of the media types that the header `Accept` names; the first one of all if it names none. */
export function mediaTypeIn<Type extends string>(accept: string, [first, ...others]: readonly [Type, ...Type[]]): Type {
  const named = [first, ...others]
    .map((type) => ({ type, at: accept.toLowerCase().indexOf(type) }))
    .filter(({ at }) => at >= 0)
    .sort((one, other) => one.at - other.at);
  return named[0]?.type ?? first;
}
