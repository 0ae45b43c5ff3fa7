// What logins are measured against: the same bodies, parsed by a bare Fastify, and one Ed25519 signature each.
import { generateKeyPairSync, sign } from 'node:crypto';
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import Fastify from 'fastify';

await once(process, 'message');
const { privateKey } = generateKeyPairSync('ed25519');
/** As long as the header and claims of a token of ours. */
const INPUT = 'x'.repeat(440);

const fastify = Fastify();
fastify.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
  done(null, Object.fromEntries(new URLSearchParams(body)));
});
fastify.post('/login', ({ body }) => ({
  access_token: `${INPUT}.${sign(null, Buffer.from(INPUT), privateKey).toString('base64url')}`,
  token_type: 'Bearer',
  expires_in: Object.keys(body).length * 300,
}));
process.once('disconnect', () => void fastify.close());
process.send({ url: await fastify.listen({ port: 0, host: '127.0.0.1' }) });
