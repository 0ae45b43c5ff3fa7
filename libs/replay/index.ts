export {
  type AssignmentAsOf,
  type ClientAsOf,
  clientAsOf,
  type CredentialAsOf,
  type IdentityAsOf,
  type ShownBasis,
} from './client-as-of.js';
export { type LoginAnswer, type LoginReason } from './login-answer.js';
