'use strict';
// JWS compact serialisation and signed files, strictly, on node:crypto alone.

const crypto = require('node:crypto');
const { Refusal, require_ } = require('./errors');

const ALG = { 'P-256': 'ES256', Ed25519: 'EdDSA' };
const b64url = (data) => Buffer.from(data).toString('base64url');
const sha256 = (data) => crypto.createHash('sha256').update(data).digest();

/** RFC 8785 for what is used here: text and whole numbers; members sort by UTF-16 code units, as JavaScript does. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}

/** RFC 7638, of the required members. */
function thumbprint({ crv, kty, x, y }) {
  return b64url(sha256(canonical(kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x })));
}

/** Base64url that has one spelling only; throws otherwise. */
function unb64url(text) {
  const data = Buffer.from(text, 'base64url');
  if (data.toString('base64url') !== text) throw new Error('not canonical base64url');
  return data;
}

/** A JSON object without doubled members, fractions or exponents; throws otherwise. */
function strictObject(data) {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  const found = JSON.parse(text);
  if (found === null || typeof found !== 'object' || Array.isArray(found)) throw new Error('no object');
  const open = [];
  const lexeme = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\]:,]/g;
  let key = false;
  for (const [item] of text.matchAll(lexeme)) {
    const members = open.at(-1);
    if (item === '{' || item === '[') {
      open.push(item === '{' ? new Set() : null);
      key = item === '{';
    } else if (item === '}' || item === ']') {
      open.pop();
      key = false;
    } else if (item === ',') {
      key = members !== null;
    } else if (item === ':') {
      key = false;
    } else if (item[0] === '"' && key) {
      const name = JSON.parse(item);
      if (members.has(name)) throw new Error('doubled member');
      members.add(name);
    } else if (item[0] !== '"' && !/^-?\d+$/.test(item)) {
      throw new Error('no whole number');
    }
  }
  return found;
}

const verified = (alg, jwk, data, signature) =>
  signature.length === 64 &&
  crypto.verify(
    alg === 'ES256' ? 'sha256' : null,
    data,
    { key: crypto.createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' },
    signature,
  );

/** A public P-256 or Ed25519 JWK of the required members alone. */
function isPublicJwk(jwk) {
  const wanted = { EC: 'crv,kty,x,y', OKP: 'crv,kty,x' }[jwk?.kty];
  if (!wanted || Object.keys(jwk).sort().join() !== wanted || !ALG[jwk.crv]) return false;
  if ((jwk.kty === 'EC') !== (jwk.crv === 'P-256')) return false;
  try {
    if ([jwk.x, jwk.y ?? jwk.x].some((part) => unb64url(part).length !== 32)) return false;
    return Boolean(crypto.createPublicKey({ key: jwk, format: 'jwk' }));
  } catch {
    return false;
  }
}

/**
 * The claims of a JWS whose signature has verified. `find(header, payload)` chooses the key: `{alg, jwk}`, or nothing.
 * `keyed`: the header carries `jwk` in place of `kid`. `reasons`: malformed, type, key, algorithm, signature.
 */
function open(text, { typ, find, keyed = false, reasons }) {
  require_(text.length <= 4096, 'MESSAGE_TOO_LARGE');
  let header;
  let claims;
  let signature;
  const parts = text.split('.');
  try {
    header = strictObject(unb64url(parts[0]));
    claims = strictObject(unb64url(parts[1]));
    signature = unb64url(parts[2]);
  } catch {
    throw new Refusal(reasons.malformed);
  }
  const names = keyed ? 'alg,jwk,typ' : 'alg,kid,typ';
  require_(parts.length === 3 && Object.keys(header).sort().join() === names, reasons.malformed);
  require_(header.typ === typ, reasons.type);
  if (keyed) require_(isPublicJwk(header.jwk), reasons.malformed);
  const key = keyed ? { alg: ALG[header.jwk.crv], jwk: header.jwk } : find(header, claims);
  require_(key, reasons.key);
  require_(header.alg === key.alg, reasons.algorithm);
  require_(verified(key.alg, key.jwk, Buffer.from(`${parts[0]}.${parts[1]}`), signature), reasons.signature);
  return { claims, kid: keyed ? thumbprint(header.jwk) : header.kid };
}

/** Sign claims; the result's parts are of one length for claims of one length. */
function seal(key, typ, claims) {
  const header = { alg: key.alg, kid: key.kid, typ };
  const input = `${b64url(JSON.stringify(header))}.${b64url(JSON.stringify(claims))}`;
  const digest = key.alg === 'ES256' ? 'sha256' : null;
  const signature = crypto.sign(digest, Buffer.from(input), { key: key.private, dsaEncoding: 'ieee-p1363' });
  return `${input}.${b64url(signature)}`;
}

/** A private key (PEM) as `{private, jwk, kid, alg}`. */
function privateKey(pem) {
  const key = crypto.createPrivateKey(pem);
  const jwk = crypto.createPublicKey(key).export({ format: 'jwk' });
  return { private: key, jwk, kid: thumbprint(jwk), alg: ALG[jwk.crv] };
}

/** What a token's hash covers: header and payload with their dot. */
const tokenHash = (token) => sha256(token.slice(0, token.lastIndexOf('.')));

/** The payload of a DSSE envelope signed by as many authorities as the root's threshold says; throws otherwise. */
function unseal(envelope, root, type) {
  const { payload, payloadType, signatures } = JSON.parse(envelope);
  if (payloadType !== type) throw new Error(`not of type ${type}`);
  const data = Buffer.from(payload, 'base64');
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${data.length} `), data]);
  const signers = new Set();
  for (const { keyid, sig } of signatures) {
    for (const authority of root.authorities) {
      const entitled = authority.keyid === keyid && authority.payload_types.includes(type);
      if (entitled && verified(ALG[authority.jwk.crv], authority.jwk, signed, Buffer.from(sig, 'base64'))) {
        signers.add(authority.name);
      }
    }
  }
  if (signers.size < root.thresholds[type]) throw new Error('signed by too few authorities');
  return data;
}

module.exports = {
  b64url,
  canonical,
  isPublicJwk,
  open,
  privateKey,
  seal,
  sha256,
  strictObject,
  thumbprint,
  tokenHash,
  unseal,
};
