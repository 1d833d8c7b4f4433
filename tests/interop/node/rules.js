'use strict';
// The contract's rules on fields, for the messages that this adapter takes.

const { require_ } = require('./errors');
const { SLUG } = require('./tokens');

const REFERENCE = /^[A-Za-z0-9._-]{1,64}$/;
const ID = /^[A-Za-z0-9_-]{16,64}$/;
const DIGEST = /^[0-9a-f]{64}$/;

const check = (...rules) => require_(rules.every(Boolean), 'MALFORMED_REQUEST');
const sized = (text, least, most) => text.length >= least && text.length <= most;

function question(item) {
  const { token, handle } = item;
  const code = () => sized(handle ?? '', 10, 96) && /^[a-z0-9]+(-[a-z0-9]+)+$/.test(handle);
  check(item.presentation === 'token' ? sized(token, 16, 4096) : code(), item.proof.length <= 2048);
  check(ID.test(item.request_id), DIGEST.test(item.bundle_digest));
  check(SLUG.test(item.operator), SLUG.test(item.scenario));
}

function batch({ items }) {
  check(items.length >= 1);
  require_(items.length <= 256, 'BATCH_TOO_LARGE');
}

function terms(item) {
  check(item);
  const key = item.device_key;
  check(SLUG.test(item.operator), SLUG.test(item.scenario));
  check(item.lifetime_s >= 60, item.lifetime_s <= 34560000, item.uses <= 1000);
  check(['BINDING_NONE', 'BINDING_OPERATOR', 'BINDING_DEVICE'].includes(item.binding));
  if (key) check(['KEY_TYPE_P256', 'KEY_TYPE_ED25519'].includes(key.type), key.x.length === 32, key.y.length <= 32);
}

function preview(item) {
  terms(item.terms);
  check(item.asked_of === '' || REFERENCE.test(item.asked_of));
}

function grant(item) {
  check(REFERENCE.test(item.resident_ref), DIGEST.test(item.notice_digest));
  terms(item.terms);
}

function handle(item) {
  grant(item);
  check(['HANDLE_FORM_TYPED', 'HANDLE_FORM_QR'].includes(item.form));
}

const change = (item) => check(REFERENCE.test(item.resident_ref), ID.test(item.consent_id));

function logged({ entry, inclusion }) {
  check(sized(entry, 2, 4096), inclusion.length <= 64, inclusion.every((hash) => hash.length === 32));
}

function report(item) {
  check(ID.test(item.attestation_id), ['USE_OUTCOME_ENTITLED', 'USE_OUTCOME_ORDINARY'].includes(item.outcome));
  logged(item);
  if (item.registration) {
    logged(item.registration);
    check(item.registration.opening.length === 32);
  }
}

function reports(item) {
  check(sized(item.reports, 1, 256), sized(item.checkpoint, 16, 8192));
  item.reports.forEach(report);
}

module.exports = { batch, change, grant, handle, preview, question, reports };
