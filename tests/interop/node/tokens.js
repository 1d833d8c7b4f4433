'use strict';
// Consent tokens and proofs of possession, as the home city reads them again.

const { b64url, open, tokenHash } = require('./jose');
const { require_ } = require('./errors');

const AHEAD_S = 10;
const SLUG = /^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$/;
const HASH = /^[A-Za-z0-9_-]{43}$/;
const REQUIRED = ['iss', 'aud', 'sub', 'azp', 'authorization_details', 'iat', 'nbf', 'exp', 'jti', 'notice'];

const TOKEN = {
  malformed: 'TOKEN_MALFORMED',
  type: 'TOKEN_TYPE_WRONG',
  key: 'TOKEN_KEY_UNKNOWN',
  algorithm: 'TOKEN_ALGORITHM_WRONG',
  signature: 'TOKEN_SIGNATURE_INVALID',
};
const PROOF = {
  malformed: 'PROOF_MALFORMED',
  type: 'PROOF_MALFORMED',
  key: 'PROOF_INVALID',
  algorithm: 'PROOF_INVALID',
  signature: 'PROOF_INVALID',
};

const whole = (value, least, most = Number.MAX_SAFE_INTEGER) =>
  Number.isSafeInteger(value) && value >= least && value <= most;
const text = (value, form = /^.+$/) => typeof value === 'string' && form.test(value);
const only = (value, names) =>
  value !== null && typeof value === 'object' && Object.keys(value).every((name) => names.includes(name));

function wellFormed(claims) {
  const { cnf, uses, authorization_details: details } = claims;
  const minutes = [claims.iat, claims.nbf, claims.exp];
  const named = (item) =>
    only(item, ['type', 'scenario', 'purpose']) &&
    item.type === 'incentive_check' &&
    text(item.scenario, SLUG) &&
    text(item.purpose, SLUG);
  const bound = () => only(cnf, ['jkt', 'holder']) && text(cnf.jkt, HASH) && [undefined, 'device'].includes(cnf.holder);
  return (
    REQUIRED.every((name) => name in claims) &&
    only(claims, [...REQUIRED, 'uses', 'cnf']) &&
    [claims.iss, claims.azp].every((item) => text(item, SLUG)) &&
    text(claims.aud) &&
    text(claims.sub, HASH) &&
    text(claims.jti, /^[A-Za-z0-9_-]{22,64}$/) &&
    text(claims.notice, /^[0-9a-f]{64}$/) &&
    Array.isArray(details) && details.length >= 1 && details.length <= 8 && details.every(named) &&
    new Set(details.map((item) => item.scenario)).size === details.length &&
    minutes.every((item) => whole(item, 0) && item % 60 === 0) &&
    claims.iat <= claims.nbf && claims.nbf < claims.exp &&
    (uses === undefined || whole(uses, 1, 1000)) &&
    (cnf === undefined || bound()) &&
    (uses === 1 || cnf !== undefined)
  );
}

/** The claims of a consent token of this city that is good for `operator` and `scenario` now, with its `hash`. */
function readToken(token, { city, keys, deployment, operator, scenario, now }) {
  const find = ({ kid }, { iss }) => (iss === city ? keys.find((key) => key.kid === kid) : undefined);
  const { claims } = open(token, { typ: 'consent+jwt', find, reasons: TOKEN });
  require_(wellFormed(claims), 'TOKEN_MALFORMED');
  require_(claims.aud === deployment, 'TOKEN_AUDIENCE_WRONG');
  require_(claims.azp === operator, 'TOKEN_OTHER_OPERATOR');
  require_(claims.nbf <= now + AHEAD_S, 'TOKEN_NOT_YET_VALID');
  require_(claims.exp > now, 'TOKEN_EXPIRED');
  const detail = claims.authorization_details.find((item) => item.scenario === scenario.id);
  require_(detail?.purpose === scenario.purpose, 'TOKEN_SCENARIO_NOT_COVERED');
  const limits = scenario.consent;
  require_(claims.exp - claims.iat <= limits.max_lifetime_days * 86400 + 60, 'TOKEN_TOO_LONG_LIVED');
  require_(claims.uses === undefined ? limits.unlimited : claims.uses <= limits.max_uses, 'TOKEN_TOO_LONG_LIVED');
  return { ...claims, hash: tokenHash(token) };
}

/**
 * The mark of a device's proof, to be kept and taken once; undefined for an operator's. `known`: of a request that has
 * been answered before, whose proof need not be fresh.
 */
function readProof(proof, token, { keys, scenario, now, known }) {
  if (!token.cnf) {
    require_(!proof, 'PROOF_NOT_EXPECTED');
    return undefined;
  }
  require_(proof, 'PROOF_REQUIRED');
  const device = token.cnf.holder === 'device';
  const find = ({ kid }) => keys.find((key) => key.kid === kid);
  const { claims, kid } = open(proof, { typ: 'consent-proof+jwt', keyed: device, find, reasons: PROOF });
  const names = ['ath', 'operator', 'scenario', 'iat', 'jti'];
  const texts = names.every((name) => name === 'iat' || text(claims[name]));
  require_(only(claims, names) && texts && whole(claims.iat, 0), 'PROOF_MALFORMED');
  require_(/^[A-Za-z0-9_-]{16,64}$/.test(claims.jti), 'PROOF_MALFORMED');
  require_(kid === token.cnf.jkt && claims.ath === b64url(token.hash), 'PROOF_INVALID');
  require_(claims.operator === token.azp && claims.scenario === scenario.id, 'PROOF_INVALID');
  const oldest = now - (device ? 60 : 300);
  require_(known || (claims.iat >= oldest && claims.iat <= now + AHEAD_S), 'PROOF_STALE');
  return device ? `${b64url(token.hash)} ${claims.jti}` : undefined;
}

module.exports = { SLUG, readProof, readToken };
