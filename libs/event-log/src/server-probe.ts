import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type PeerCertificate, type TLSSocket } from 'node:tls';

/** The settings of TLS that a connection string asks for. */
export type TlsSettings = Pick<
  ConnectionOptions,
  'ALPNProtocols' | 'ca' | 'cert' | 'checkServerIdentity' | 'key' | 'passphrase' | 'rejectUnauthorized'
>;

export interface ServerAddress {
  /** A host name or an IP address. */
  readonly host: string;
  readonly port: number;
}

/** Why a driver gets no connection to a server. */
export interface ServerTrouble {
  /** The reason in words, with the server's address. */
  readonly what: string;
  /** Whether the server answers, but its certificate or the TLS settings are wrong: then only an operator can help. */
  readonly isMisconfigured: boolean;
}

const PROBE_MS = 1_000;

/** The codes of Node and OpenSSL for a certificate whose issuer is not trusted. */
const UNKNOWN_ISSUER = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
]);

/** The codes for bytes that are not TLS. */
const NOT_TLS = /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/;

/**
 * Connects once to a server that a driver can't connect to, and returns why, in words: the drivers tell only a code, or
 * nothing at all. `tls` is what the connection string asks for; `undefined` means no TLS. Sends nothing but the greeting
 * of TLS. Returns `undefined` if the probe finds nothing wrong.
 */
async function probeServer(server: ServerAddress, tls: TlsSettings | undefined): Promise<ServerTrouble | undefined> {
  const at = `${server.host}:${server.port}`;
  const answer = await greet(server, tls ?? {});
  if ('code' in answer) return troubleOf(answer.code, server, tls !== undefined);
  if (tls === undefined) {
    return misconfigured(`${at} expects TLS, which the connection string switches off (tls=true switches it on)`);
  }
  const { reason, certificate } = answer;
  if (reason === undefined || tls.rejectUnauthorized === false) return undefined;
  return misconfigured(describeCertificate(reason, at, certificate, tls));
}

/** Does the same for several servers, all at once. Returns what is wrong with those that have something wrong. */
export async function probeServers(
  servers: readonly ServerAddress[],
  tls: TlsSettings | undefined,
): Promise<readonly ServerTrouble[]> {
  const found = await Promise.all(servers.map((server) => probeServer(server, tls)));
  return found.filter((trouble) => trouble !== undefined);
}

/** What a server has answered: its certificate and what is wrong with it, or the code of the error. */
type Greeting =
  { readonly reason: string | undefined; readonly certificate: PeerCertificate } | { readonly code: string };

const greet = (server: ServerAddress, tls: TlsSettings): Promise<Greeting> =>
  new Promise((resolve) => {
    let socket: TLSSocket;
    const settle = (greeting: Greeting) => {
      resolve(greeting);
      socket.destroy();
    };
    const name = isIP(server.host) === 0 ? { servername: server.host } : {};
    // The connection is made with any certificate, so that we can look at the certificate. Nothing is sent on it.
    const options = { ...server, ...name, ...tls, rejectUnauthorized: false };
    try {
      socket = connect(options, () => {
        settle({ reason: reasonOf(socket), certificate: socket.getPeerCertificate() });
      });
    } catch (error) {
      resolve({ code: codeOf(error as SocketError) });
      return;
    }
    socket.on('error', (error: SocketError) => {
      settle({ code: codeOf(error) });
    });
    socket.setTimeout(PROBE_MS, () => {
      settle({ code: 'ETIMEDOUT' });
    });
  });

/** An error of a socket. `reason` is OpenSSL's. */
interface SocketError {
  readonly code?: string;
  readonly reason?: string;
  readonly message: string;
}

/** Returns the code of OpenSSL, or else the code of Node. Older versions of Node have one code for all of OpenSSL's. */
function codeOf({ code, reason, message }: SocketError): string {
  return reason === undefined ? (code ?? message) : `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}`;
}

/** Node's types call it an `Error`, but it is usually the error's code. */
const reasonOf = ({ authorizationError }: TLSSocket): string | undefined => {
  const reason: unknown = authorizationError;
  if (reason === null || reason === undefined) return undefined;
  return typeof reason === 'string' ? reason : codeOf(reason as SocketError);
};

const misconfigured = (what: string): ServerTrouble => ({ what, isMisconfigured: true });
const unreachable = (what: string): ServerTrouble => ({ what, isMisconfigured: false });

function troubleOf(code: string, { host, port }: ServerAddress, isTls: boolean): ServerTrouble | undefined {
  const at = `${host}:${port}`;
  if (code === 'ECONNREFUSED') return unreachable(`${at} refuses the connection (ECONNREFUSED)`);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return unreachable(`the name ${host} can’t be resolved (${code})`);
  if (code === 'ETIMEDOUT' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH') {
    return unreachable(`${at} does not answer (${code})`);
  }
  if (!isTls) return undefined;
  if (NOT_TLS.test(code)) {
    return misconfigured(`${at} answers without TLS, which the connection string asks for (tls=false switches it off)`);
  }
  if (code === 'ECONNRESET') {
    return misconfigured(`${at} closes the connection at the greeting of TLS: perhaps it does not use TLS (tls=false)`);
  }
  return misconfigured(`${at} refuses the TLS connection (${code})`);
}

function describeCertificate(
  reason: string,
  at: string,
  { valid_from: from, valid_to: to }: PeerCertificate,
  { ca }: TlsSettings,
): string {
  if (UNKNOWN_ISSUER.has(reason)) {
    return ca === undefined
      ? `the certificate of ${at} is from an authority that this machine does not know: name its file in tlsCAFile`
      : `the certificate of ${at} is not from the authority in tlsCAFile`;
  }
  if (reason === 'CERT_HAS_EXPIRED') return `the certificate of ${at} expired at ${to}`;
  if (reason === 'CERT_NOT_YET_VALID') return `the certificate of ${at} is not valid before ${from}`;
  if (reason === 'ERR_TLS_CERT_ALTNAME_INVALID') return `the certificate of ${at} is for another host name`;
  return `the certificate of ${at} is not accepted (${reason})`;
}
