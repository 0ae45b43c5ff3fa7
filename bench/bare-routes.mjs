// The reference for logins, introspections and gateway checks: a bare Fastify that parses the same requests. `work`
// says what the server does for each request: return a constant (`constant`), make an Ed25519 signature (`signature`)
// or verify an Ed25519 signature (`verification`).
import { Buffer } from 'node:buffer';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import Fastify from 'fastify';

const [{ work }] = await once(process, 'message');
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
/** The text to sign. The text is as long as the header and claims of one of our tokens. */
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
