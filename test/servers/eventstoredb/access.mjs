import { Buffer } from 'node:buffer';
import { StatusError } from './grpc.mjs';

/** The stream whose metadata says who may read the log of all streams. */
export const ALL_STREAMS = '$all';
const ADMINS = '$admins';
/** This role in an access list stands for everybody. */
const EVERYBODY = '$all';
const METASTREAM = '$$';

/** The access lists of streams without one of their own, until an event in stream `$settings` changes them. */
const DEFAULTS = {
  $userStreamAcl: { $r: EVERYBODY, $w: EVERYBODY, $d: EVERYBODY, $mr: EVERYBODY, $mw: EVERYBODY },
  $systemStreamAcl: { $r: ADMINS, $w: ADMINS, $d: ADMINS, $mr: ADMINS, $mw: ADMINS },
};

const deniedError = () => new StatusError(7, 'Access Denied', { exception: 'access-denied' });
const unauthenticatedError = () => new StatusError(16, 'UNAUTHENTICATED');

const lastJson = (store, stream) => {
  const records = store.streams.get(stream)?.records ?? [];
  const last = records[store.visible(records) - 1];
  return last && JSON.parse(last.data.toString());
};

/**
 * The accounts of the server, and who may do what. Without accounts, everybody may do everything, as with the real
 * server's option `--insecure`. Rights are checked when a call begins: a subscription goes on if its right is taken away.
 */
export class Access {
  accounts = new Map();

  /** `accounts` are texts such as `ann:secret` or `admin:changeit:$admins` (name, password, and a group). */
  constructor(store, accounts) {
    this.store = store;
    for (const [name, password, ...groups] of accounts.map((each) => each.split(':'))) this.add(name, password, groups);
  }

  add(name, password, groups) {
    this.accounts.set(name, { password, roles: [name, ...groups] });
  }

  /** Throws unless the call's account has this right (`$r`, `$w`, `$d`, `$mr` or `$mw`) on the stream. */
  require(call, right, stream) {
    if (this.accounts.size === 0) return;
    const roles = this.rolesOf(call.headers);
    if (stream.startsWith(METASTREAM)) {
      const ofMetadata = { $r: '$mr', $w: '$mw' }[right] ?? right;
      return this.requireRole(roles, this.holders(ofMetadata, stream.slice(METASTREAM.length)));
    }
    this.requireRole(roles, this.holders(right, stream));
  }

  /** Throws unless the call's account is an administrator. */
  requireAdmin(headers) {
    if (this.accounts.size > 0) this.requireRole(this.rolesOf(headers), []);
  }

  requireRole(roles, holders) {
    const may = (role) => roles.includes(role) || role === EVERYBODY;
    if (!roles.includes(ADMINS) && !holders.some(may)) throw deniedError();
  }

  rolesOf({ authorization = '' }) {
    const [, credentials = ''] = /^Basic (.*)$/i.exec(authorization) ?? [];
    if (credentials === '') return [];
    const [name, ...password] = Buffer.from(credentials, 'base64').toString().split(':');
    const account = this.accounts.get(name);
    if (account?.password !== password.join(':')) throw unauthenticatedError();
    return account.roles;
  }

  /** Returns the roles that have this right on the stream. */
  holders(right, stream) {
    const own = lastJson(this.store, METASTREAM + stream)?.$acl?.[right];
    if (own !== undefined) return [own].flat();
    if (stream === ALL_STREAMS) return [ADMINS];
    const defaults = { ...DEFAULTS, ...lastJson(this.store, '$settings') };
    return [(stream.startsWith('$') ? defaults.$systemStreamAcl : defaults.$userStreamAcl)[right] ?? []].flat();
  }
}

/** Returns the handler of `POST /users`, the part of the server's HTTP API that makes accounts. */
export const usersApi = (access) => async (headers, body) => {
  access.requireAdmin(headers);
  const { loginName, password, groups = [] } = JSON.parse(body);
  access.add(loginName, password, groups);
  return { status: 201, answer: { loginName, success: true } };
};
