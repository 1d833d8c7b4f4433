'use strict';
// The consents of a city: notices, grants, withdrawals, pauses, one-time codes. In memory.

const crypto = require('node:crypto');
const { b64url, canonical, isPublicJwk, seal, sha256, thumbprint, tokenHash } = require('./jose');
const { Refusal, require_ } = require('./errors');

const DAY_S = 86400;
const HANDLE_S = 600;
const LETTERS = '23456789abcdefghjkmnpqrstuvwxyz';
const MISSES = 60; // of one operator in one minute
const seconds = () => Math.floor(Date.now() / 1000);
const stamp = (moment) => ({ seconds: moment, nanos: 0 });

/** 128 random bits as 22 characters: all ids have one length. */
const newId = () => b64url(crypto.randomBytes(16));

function fill(text, values) {
  return text.replace(/\{([^{}]*)\}/g, (_, name) => values[name]);
}

/** In the largest unit that divides it. */
function lifetime(span, language) {
  const [unit, zh, en] = UNITS.find(([length]) => span % length === 0);
  const count = span / unit;
  return language === 'zh' ? `${count} ${zh}` : `${count} ${en}${count > 1 ? 's' : ''}`;
}

/** What the scenario brings anybody of the city: the rung of the highest tier that its concordance gives. */
function bestOf(scenario, { cities, scale }, city) {
  const own = cities.find((item) => item.id === city.id);
  const tiers = scale.tiers.map((tier) => tier.id);
  const highest = Math.max(0, ...(own?.cuts ?? []).map((cut) => tiers.indexOf(cut.tier)));
  const terms = scenario.rungs.filter((rung) => tiers.indexOf(rung.tier) <= highest).at(-1) ?? scenario.base;
  return { terms, illustrative: scenario.illustrative || Boolean(own?.illustrative) };
}

/** Whether a rule of one city, in force today, names the other (or `*`) and the scenario (or `*`). */
function holds(rules, side, city, scenario) {
  const today = new Date().toISOString().slice(0, 10);
  return rules.some(
    (rule) =>
      [city, '*'].some((name) => rule[side].includes(name)) &&
      [scenario, '*'].some((name) => rule.scenarios.includes(name)) &&
      rule.effective_from <= today &&
      today <= (rule.effective_until ?? today),
  );
}

const UNITS = [
  [DAY_S, '天', 'day'],
  [3600, '小时', 'hour'],
  [60, '分钟', 'minute'],
];
const PRESENT = {
  BINDING_OPERATOR: {
    zh: '您不必在场，接收方随时可以自行查询',
    en: 'the receiver may ask by itself, without you being there',
  },
  BINDING_DEVICE: {
    zh: '每次查询都须由您的设备当场证明，没有该设备就不能查询',
    en: 'your device has to be there, for each check takes a proof that it makes then',
  },
  BINDING_NONE: {
    zh: '不绑定任何设备，谁持有凭证或者代码，谁就可以出示',
    en: 'whoever holds the token or the code may show it, for it is bound to no device',
  },
};
const MARKS = {
  zh: '（示意数据：本告知书所列条件，或者享受这些条件所需的等级，依据的数值没有任何城市公布）',
  en: ' (illustrative: the terms in this notice, or the tier that they take, rest on figures that no city has published)',
};

/** The value of the check character's sum: a multiple of 31 for a whole code. */
const sumOf = (code) => [...code].reduce((sum, letter, place) => sum + LETTERS.indexOf(letter) * (place + 1), 0) % 31;

function newCode(letters) {
  for (;;) {
    const drawn = Array.from({ length: letters }, () => LETTERS[crypto.randomInt(31)]).join('');
    const last = [...LETTERS].find((letter) => sumOf(drawn + letter) === 0);
    if (last) return drawn + last;
  }
}

class Consents {
  constructor(files) {
    this.files = files;
    this.byHash = new Map();
    this.byId = new Map();
    this.handles = new Map();
    this.devices = new Set();
    this.misses = new Map();
    this.handleKey = crypto.randomBytes(32);
  }

  /** The scenario of the bundle that is in effect and open to the operator and to this city, and the operator. */
  open(operator, scenario) {
    const { scenarios, operators, acceptance } = this.files.bundle;
    const decided = (city) => acceptance.find((item) => item.id === city) ?? { honours: [], vouches: [] };
    const found = scenarios.find((item) => item.id === scenario && Date.parse(item.effective_from) <= Date.now());
    require_(found, 'SCENARIO_UNKNOWN');
    const receiver = operators.find((item) => item.id === operator);
    require_(receiver && found.operators.includes(operator), 'SCENARIO_NOT_OPEN');
    const [home, host] = [this.files.city.id, found.host_city];
    require_(holds(decided(host).honours, 'homes', home, scenario), 'HOME_NOT_HONOURED');
    require_(holds(decided(home).vouches, 'hosts', host, scenario), 'HOST_NOT_VOUCHED');
    return { scenario: found, operator: receiver };
  }

  preview({ terms }) {
    const { scenario, operator } = this.within(terms);
    const { bundle, city } = this.files;
    const { id, version, text_zh: zh, text_en: en } = bundle.notice;
    const best = bestOf(scenario, bundle, city);
    const filled = (text, language, lifetime, uses) =>
      fill(text, {
        operator_name: operator[`name_${language}`],
        operator_contact: operator.contact,
        scenario_name: scenario[`name_${language}`],
        purpose: scenario[`purpose_${language}`] || scenario.purpose,
        city_name: city[`name_${language}`],
        lifetime,
        uses,
        present: PRESENT[terms.binding][language],
        without: scenario.base[`text_${language}`],
        at_best: best.terms[`text_${language}`] + (best.illustrative ? MARKS[language] : ''),
      });
    const count = terms.uses;
    const often = count === 0 ? 'any number of times' : count === 1 ? 'once' : `at most ${count} times`;
    const shown = {
      zh: filled(zh, 'zh', lifetime(terms.lifetime_s, 'zh'), count === 0 ? '不限次数' : `最多 ${count} 次`),
      en: filled(en, 'en', lifetime(terms.lifetime_s, 'en'), often),
    };
    return {
      notice_zh: shown.zh,
      notice_en: shown.en,
      notice_digest: sha256(canonical({ id, version, ...shown })).toString('hex'),
      without_zh: scenario.base.text_zh,
      without_en: scenario.base.text_en,
      at_best_zh: best.terms.text_zh,
      at_best_en: best.terms.text_en,
      illustrative: best.illustrative,
    };
  }

  /** The scenario and the operator, if the terms keep within the scenario's limits. */
  within(terms) {
    const found = this.open(terms.operator, terms.scenario);
    const { max_lifetime_days: days, max_uses: uses, unlimited } = found.scenario.consent;
    const counted = terms.uses > 0 ? terms.uses <= uses : unlimited;
    const held = terms.uses === 1 || terms.binding !== 'BINDING_NONE';
    const long = terms.lifetime_s > 0 && terms.lifetime_s % 60 === 0 && terms.lifetime_s <= days * DAY_S;
    require_(long && counted && held, 'CONSENT_LIMITS');
    require_(Boolean(terms.device_key) === (terms.binding === 'BINDING_DEVICE'), 'DEVICE_KEY_INVALID');
    return found;
  }

  grant({ resident_ref: resident, terms, notice_digest: notice }) {
    const { scenario } = this.within(terms);
    require_(this.preview({ terms }).notice_digest === notice, 'CONSENT_STATE');
    const cnf = this.binding(terms);
    const { keys, directory, pairwise, city } = this.files;
    const begin = Math.floor(seconds() / 60) * 60;
    const subject = crypto.createHmac('sha256', pairwise).update(`${terms.operator}\0${resident}`).digest();
    const claims = {
      iss: city.id,
      aud: directory.gateway.deployment,
      sub: b64url(subject),
      azp: terms.operator,
      authorization_details: [{ type: 'incentive_check', scenario: scenario.id, purpose: scenario.purpose }],
      iat: begin,
      nbf: begin,
      exp: begin + Math.ceil(terms.lifetime_s / 60) * 60,
      jti: newId(),
      notice,
      ...(terms.uses > 0 && { uses: terms.uses }),
      ...(cnf && { cnf }),
    };
    const token = seal(keys.consent, 'consent+jwt', claims);
    const consent = { id: claims.jti, resident, token, expires: claims.exp, state: 'active', endedAt: 0 };
    this.byId.set(consent.id, consent);
    this.byHash.set(b64url(tokenHash(token)), consent);
    return { consent_id: consent.id, token, expires_at: stamp(consent.expires) };
  }

  binding({ operator, binding, device_key: key }) {
    if (binding === 'BINDING_NONE') return undefined;
    if (binding === 'BINDING_OPERATOR') {
      const listed = this.files.directory.operators.find((item) => item.id === operator)?.keys ?? [];
      require_(listed.length > 0, 'CONSENT_LIMITS');
      return { jkt: listed[0].kid };
    }
    const [x, y] = [b64url(key.x), b64url(key.y)];
    const jwk = key.type === 'KEY_TYPE_P256' ? { crv: 'P-256', kty: 'EC', x, y } : { crv: 'Ed25519', kty: 'OKP', x };
    require_(isPublicJwk(jwk) && (jwk.kty === 'EC' || key.y.length === 0), 'DEVICE_KEY_INVALID');
    const jkt = thumbprint(jwk);
    const peers = [...this.files.directory.cities, ...this.files.directory.operators];
    const elsewhere = peers.some((peer) => peer.keys.some((item) => thumbprint(item.jwk) === jkt));
    require_(!elsewhere && !this.devices.has(jkt), 'DEVICE_KEY_REUSED');
    this.devices.add(jkt);
    return { jkt, holder: 'device' };
  }

  /** Her own consent, or CONSENT_UNKNOWN. */
  hers({ resident_ref: resident, consent_id: id }) {
    const consent = this.byId.get(id);
    require_(consent?.resident === resident, 'CONSENT_UNKNOWN');
    return consent;
  }

  withdraw(request) {
    const consent = this.hers(request);
    if (consent.state !== 'withdrawn') Object.assign(consent, { state: 'withdrawn', endedAt: seconds() });
    return { effective_at: stamp(consent.endedAt), acknowledged: false, exposed_until: stamp(consent.endedAt + 300) };
  }

  /** Pause or resume: from one state to another. */
  turn(request, from, to) {
    const consent = this.hers(request);
    require_(consent.state === from && consent.expires > seconds(), 'CONSENT_STATE');
    consent.state = to;
    const now = seconds();
    return { change: { effective_at: stamp(now), acknowledged: false, exposed_until: stamp(now + 300) } };
  }

  issueHandle(request) {
    require_(request.terms.uses === 1 && request.terms.binding === 'BINDING_NONE', 'CONSENT_LIMITS');
    const granted = this.grant(request);
    const code = newCode(request.form === 'HANDLE_FORM_TYPED' ? 11 : 26); // 54 and 128 random bits
    const handle = `${this.files.city.id}-${code}`;
    const ends = Math.min(seconds() + HANDLE_S, granted.expires_at.seconds);
    this.handles.set(this.mark(handle), { id: granted.consent_id, ends, used: false });
    return { consent_id: granted.consent_id, handle, handle_expires_at: stamp(ends), expires_at: granted.expires_at };
  }

  mark(handle) {
    return crypto.createHmac('sha256', this.handleKey).update(handle).digest('hex');
  }

  /** The token behind a code, and the code's record; the caller marks it used once nothing else refuses. */
  redeem(handle, operator, scenario, known) {
    const minute = Math.floor(seconds() / 60);
    const misses = this.misses.get(operator);
    const missed = misses?.minute === minute ? misses.count : 0;
    if (missed >= MISSES) throw new Refusal('RATE_LIMITED', 60000);
    const record = this.handles.get(this.mark(handle));
    const token = record && this.byId.get(record.id).token;
    const claims = token && JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
    const meant = claims?.azp === operator && claims.authorization_details[0].scenario === scenario;
    if (meant && (known || (!record.used && record.ends > seconds()))) return { token, record };
    this.misses.set(operator, { minute, count: missed + 1 });
    throw new Refusal('HANDLE_INVALID');
  }
}

module.exports = { Consents, newId, seconds };
