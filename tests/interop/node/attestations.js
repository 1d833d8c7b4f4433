'use strict';
// From a question to a signed rung. What it reads and what it spends happens in one step: nothing here waits.

const { b64url, seal, sha256 } = require('./jose');
const { Refusal, require_ } = require('./errors');
const { newId, seconds } = require('./consents');
const { readProof, readToken } = require('./tokens');

const LIFETIME_S = 300;
const KEPT_S = 86400;
const EVALUATED_S = 600;
const FROZEN = new Set(['kit-frozen']);
const DECOY = 'kit-decoy';

class Attestations {
  constructor(files, consents) {
    this.files = files;
    this.consents = consents;
    this.requests = new Map();
    this.spent = new Map();
    this.proofs = new Map();
    this.hashes = new Map();
  }

  attest(question) {
    const { files, consents } = this;
    const { operator, request_id: request, proof } = question;
    const now = seconds();
    require_(question.bundle_digest === files.digest, 'BUNDLE_MISMATCH');
    const { scenario } = consents.open(operator, question.scenario);
    const id = `${operator}\0${request}`;
    const known = this.known(id, now);
    const { token: text, record } =
      question.presentation === 'handle'
        ? consents.redeem(question.handle, operator, scenario.id, known)
        : { token: question.token };
    const token = readToken(text, {
      city: files.city.id,
      keys: files.city.keys.filter((key) => key.purpose === 'consent'),
      deployment: files.directory.gateway.deployment,
      operator,
      scenario,
      now,
    });
    const hash = b64url(token.hash);
    const binding = `${hash} ${scenario.id}`;
    require_(!known || known.binding === binding, 'REQUEST_CONFLICT');
    require_(!known || known.until > now || known.at + EVALUATED_S > now, 'REQUEST_ENDED');
    const keys = files.directory.operators.find((item) => item.id === operator).keys;
    const mark = readProof(proof, token, { keys, scenario, now, known: Boolean(known) });
    const consent = consents.byHash.get(hash);
    const standing = consent?.state ?? 'none';
    if (known?.standing === standing && known.until > now) return known.answer;
    if (!known) this.spend(token, hash, mark, now);
    if (record) record.used = true;
    const answer = this.answer(token, { scenario, consent, operator, request, now });
    if (record) answer.redeemed_token = text;
    this.requests.set(id, { binding, standing, answer, until: this.until(token, now), at: known?.at ?? now });
    return answer;
  }

  /** What is remembered of a request id; it is forgotten after a day. */
  known(id, now) {
    const found = this.requests.get(id);
    return found && found.at + KEPT_S > now ? found : undefined;
  }

  spend(token, hash, mark, now) {
    if (mark) {
      for (const [old, at] of this.proofs) if (at < now - 80) this.proofs.delete(old);
      require_(!this.proofs.has(mark), 'PROOF_REPLAYED');
    }
    const spent = this.spent.get(hash) ?? 0;
    require_(token.uses === undefined || spent < token.uses, 'USES_EXHAUSTED');
    if (mark) this.proofs.set(mark, now);
    this.spent.set(hash, spent + 1);
  }

  until(token, now) {
    return Math.min(now + LIFETIME_S, token.exp);
  }

  answer(token, { scenario, consent, operator, request, now }) {
    const { files } = this;
    const live = consent?.state === 'active' && !FROZEN.has(consent.resident);
    const level = this.level(live ? consent.resident : DECOY);
    const tiers = files.bundle.scale.tiers.map((tier) => tier.id);
    const reached = scenario.rungs.filter((rung) => tiers.indexOf(rung.tier) <= level).length;
    const claims = {
      iss: files.city.id,
      aud: files.directory.gateway.deployment,
      sub: token.sub,
      azp: operator,
      ath: b64url(token.hash),
      scenario: scenario.id,
      bundle: files.digest,
      rung: live ? reached : 0,
      iat: now,
      exp: this.until(token, now),
      jti: newId(),
      ...(token.uses !== undefined && { req: b64url(sha256(`${operator}\0${request}`)) }),
    };
    this.hashes.set(claims.jti, token.hash);
    return { attestation: seal(files.keys.attestation, 'tier-attestation+jwt', claims), redeemed_token: '' };
  }

  /** The tier level of a resident, 0 to 3: 0 also for whoever has no usable, fresh score. */
  level(resident) {
    const { bundle, city, residents } = this.files;
    const rules = bundle.cities.find((item) => item.id === city.id);
    const { score, day } = residents.get(resident) ?? {};
    const age = (Date.now() - Date.parse(day)) / 86400000;
    const onScale = Number.isInteger(score) && score >= rules.score_min && score <= rules.score_max;
    const usable = onScale && age >= 0 && age <= rules.max_age_days;
    return usable ? rules.cuts.filter((cut) => score >= cut.minimum).length : 0;
  }

  batch(items, rules) {
    const results = items.map((item) => {
      try {
        rules(item);
        return { attested: this.attest(item) };
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        return { error: { reason: error.reason, retry_after_ms: error.retryAfterMs } };
      }
    });
    return { results };
  }
}

module.exports = { Attestations };
