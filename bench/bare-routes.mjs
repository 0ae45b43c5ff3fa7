// What logins, introspection and the gateway check are measured against: a bare Fastify that parses the same requests,
// and does one piece of work for each: `constant`, `signature` or `verification` (Ed25519).
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import Fastify from 'fastify';

const [{ work }] = await once(process, 'message');
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
/** As long as the header and claims of a token of ours. */
const INPUT = 'x'.repeat(440);
const SIGNATURE = sign(null, Buffer.from(INPUT), privateKey);

const answerOf = (signature) => ({
  access_token: `${INPUT}.${signature}`,
  token_type: 'Bearer',
  expires_in: 300,
});
const CONSTANT = answerOf(SIGNATURE.toString('base64url'));
const answers = {
  constant: () => CONSTANT,
  signature: () => answerOf(sign(null, Buffer.from(INPUT), privateKey).toString('base64url')),
  verification: () => ({ active: verify(null, Buffer.from(INPUT), publicKey, SIGNATURE) }),
};

const fastify = Fastify();
fastify.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
  done(null, Object.fromEntries(new URLSearchParams(body)));
});
fastify.post('/login', answers[work]);
fastify.post('/oauth/introspect', answers[work]);
fastify.get('/gateway/check', answers[work]);
process.once('disconnect', () => void fastify.close());
process.send({ url: await fastify.listen({ port: 0, host: '127.0.0.1' }) });
