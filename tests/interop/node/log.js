'use strict';
// Use reports: C2SP signed checkpoints and RFC 9162 inclusion proofs.

const crypto = require('node:crypto');
const { sha256, strictObject } = require('./jose');
const { Refusal, require_ } = require('./errors');

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const hashPair = (left, right) => sha256(Buffer.concat([Buffer.from([1]), left, right]));
const hashLeaf = (entry) => sha256(Buffer.concat([Buffer.from([0]), entry]));

const PLACES = 1e12; // log indices of one shard

/** `{size, root}` of a checkpoint of that origin, signed by that verifier key. */
function checkpoint(note, origin, vkey) {
  const [, name, encoded] = /^([^+]+)\+[0-9a-f]{8}\+(.+)$/.exec(vkey); // base64 may hold a plus sign, too
  const key = Buffer.from(encoded, 'base64');
  const id = sha256(Buffer.concat([Buffer.from(`${name}\n`), key])).subarray(0, 4);
  const end = note.lastIndexOf('\n\n');
  require_(end > 0 && key[0] === 1 && key.length === 33, 'REPORT_INVALID');
  const body = note.slice(0, end + 1);
  const signed = note.slice(end + 2).split('\n').some((line) => {
    const [dash, signer, text] = line.split(' ');
    const signature = Buffer.from(text ?? '', 'base64');
    const ours = dash === '\u2014' && signer === name && signature.length === 68;
    if (!ours || !signature.subarray(0, 4).equals(id)) return false;
    const spki = Buffer.concat([SPKI_ED25519, key.subarray(1)]);
    const verifier = crypto.createPublicKey({ key: spki, format: 'der', type: 'spki' });
    return crypto.verify(null, Buffer.from(body), verifier, signature.subarray(4));
  });
  require_(signed, 'REPORT_INVALID');
  const [first, size, root] = body.split('\n');
  require_(first === origin && /^(0|[1-9]\d{0,15})$/.test(size), 'REPORT_INVALID');
  return { size: Number(size), root: Buffer.from(root, 'base64') };
}

/** Whether the entry is at `index` of the tree (RFC 9162, section 2.1.3.2). */
function included(entry, index, proof, { size, root }) {
  if (index >= size) return false;
  let place = index;
  let last = size - 1;
  let hash = hashLeaf(entry);
  for (const sibling of proof) {
    if (last === 0) return false;
    if (place % 2 === 1 || place === last) {
      hash = hashPair(sibling, hash);
      while (place % 2 === 0 && place !== 0) {
        place /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = hashPair(hash, sibling);
    }
    place = Math.floor(place / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && hash.equals(root);
}

/** The use reports that this city holds. */
class Reports {
  constructor(directory, city, tokenOf) {
    this.gateway = directory.gateway;
    this.city = city;
    this.tokenOf = tokenOf;
    this.held = new Map();
    this.last = 0;
    this.roots = new Map();
  }

  /** Take a run of reports, all or none; the last index that is held. */
  take({ reports, checkpoint: note }) {
    const tree = this.tree(note);
    const seen = this.roots.get(tree.first + tree.size);
    require_(!seen || seen.equals(tree.root), 'REPORT_INVALID');
    let before = -1;
    for (const report of reports) {
      const index = Number(report.log_index);
      require_(index > before, 'REPORT_INVALID');
      before = index;
      const entry = this.proved(report, index, tree);
      const outcome = { entitled: 'USE_OUTCOME_ENTITLED', ordinary: 'USE_OUTCOME_ORDINARY' }[entry.outcome];
      require_(entry.type === 'decision' && entry.city === this.city && outcome === report.outcome, 'REPORT_INVALID');
      if (report.registration) this.registered(report, entry, tree);
    }
    this.roots.set(tree.first + tree.size, tree.root);
    for (const report of reports) this.held.set(Number(report.log_index), report);
    this.last = Math.max(this.last, before);
    return { acknowledged_index: this.last };
  }

  /** The tree of a checkpoint: of the newest shard of the log, or of one that is sealed. */
  tree(note) {
    const earlier = (this.gateway.earlier_logs ?? []).map(({ vkey }) => vkey);
    const known = [...earlier, this.gateway.log_vkey].map((vkey) => [vkey.split('+', 1)[0], vkey]);
    const found = known.find(([origin]) => note.startsWith(`${origin}\n`));
    require_(found, 'REPORT_INVALID');
    const [, number] = /\/shard([1-9]\d{0,2})$/.exec(found[0]) ?? [null, 0];
    return { ...checkpoint(note, ...found), first: Number(number) * PLACES };
  }

  proved({ entry, inclusion }, index, tree) {
    const within = index - tree.first;
    require_(within >= 0 && within < PLACES && included(entry, within, inclusion, tree), 'REPORT_INVALID');
    try {
      return strictObject(entry);
    } catch {
      throw new Refusal('REPORT_INVALID');
    }
  }

  registered({ registration, attestation_id: id }, decision, tree) {
    const index = Number(registration.log_index);
    const entry = this.proved(registration, index, tree);
    const token = this.tokenOf(id);
    const commitment = token && crypto.createHmac('sha256', registration.opening).update(token).digest('hex');
    const same = entry.type === 'consent_registered' && entry.city === this.city && decision.consent === index;
    require_(same && entry.token === decision.token && (!token || commitment === entry.token), 'REPORT_INVALID');
  }
}

module.exports = { Reports };
