import { pastStates } from './past-states.mjs';
import { treeProofs } from './tree-proofs.mjs';

/** Measures what auditors ask for: states of the past, and the tree over the log with its proofs. */
export const audit = async (bench) => [...(await pastStates(bench)), ...(await treeProofs(bench))];
