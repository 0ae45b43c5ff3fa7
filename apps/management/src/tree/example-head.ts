/** The origin of a log, for the examples of the OpenAPI document. */
export const EXAMPLE_ORIGIN = 'hub.example/0195b3f0-5a1e-7c3a-9a51-6b6f0e7d2c11';
/** The hash of a tree in base64, for the examples of the OpenAPI document. */
export const EXAMPLE_ROOT = 'BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=';
const LINE = 'Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=';

/** A signed head, for the examples of the OpenAPI document. */
export const EXAMPLE_HEAD = `${EXAMPLE_ORIGIN}\n42\n${EXAMPLE_ROOT}\n\n— ${EXAMPLE_ORIGIN} ${LINE}\n`;
