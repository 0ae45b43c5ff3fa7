export {
  ApiDescription,
  type DescribedMethod,
  type DescribedOperation,
  type DescribedPart,
  type Schemas,
} from './openapi/api-description.js';
export { serveOpenApi } from './openapi/document.js';
export { exampleProblem, PROBLEM_CODES, type ProblemCode } from './openapi/problem-codes.js';
export {
  type Examples,
  type HeaderName,
  HEADERS,
  headersOf,
  jsonResponse,
  NODE_REFUSALS,
  problemResponses,
  schemaRef,
} from './openapi/responses.js';
