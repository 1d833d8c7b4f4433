'use strict';
// Refusals as the contract has them: a reason, its gRPC status, and google.rpc.Status in the trailing metadata.

const { Metadata, status } = require('@grpc/grpc-js');

const STATUS = {
  MALFORMED_REQUEST: 'INVALID_ARGUMENT',
  MESSAGE_TOO_LARGE: 'INVALID_ARGUMENT',
  BATCH_TOO_LARGE: 'INVALID_ARGUMENT',
  TOKEN_MALFORMED: 'INVALID_ARGUMENT',
  TOKEN_TYPE_WRONG: 'INVALID_ARGUMENT',
  TOKEN_ALGORITHM_WRONG: 'INVALID_ARGUMENT',
  TOKEN_KEY_UNKNOWN: 'PERMISSION_DENIED',
  TOKEN_SIGNATURE_INVALID: 'PERMISSION_DENIED',
  TOKEN_AUDIENCE_WRONG: 'PERMISSION_DENIED',
  TOKEN_OTHER_OPERATOR: 'PERMISSION_DENIED',
  TOKEN_EXPIRED: 'FAILED_PRECONDITION',
  TOKEN_NOT_YET_VALID: 'FAILED_PRECONDITION',
  TOKEN_TOO_LONG_LIVED: 'PERMISSION_DENIED',
  TOKEN_SCENARIO_NOT_COVERED: 'PERMISSION_DENIED',
  PROOF_REQUIRED: 'INVALID_ARGUMENT',
  PROOF_NOT_EXPECTED: 'INVALID_ARGUMENT',
  PROOF_MALFORMED: 'INVALID_ARGUMENT',
  PROOF_INVALID: 'PERMISSION_DENIED',
  PROOF_STALE: 'FAILED_PRECONDITION',
  PROOF_REPLAYED: 'FAILED_PRECONDITION',
  HANDLE_INVALID: 'FAILED_PRECONDITION',
  USES_EXHAUSTED: 'FAILED_PRECONDITION',
  REQUEST_CONFLICT: 'ALREADY_EXISTS',
  REQUEST_ENDED: 'FAILED_PRECONDITION',
  SCENARIO_UNKNOWN: 'INVALID_ARGUMENT',
  SCENARIO_NOT_OPEN: 'PERMISSION_DENIED',
  HOME_NOT_HONOURED: 'FAILED_PRECONDITION',
  HOST_NOT_VOUCHED: 'FAILED_PRECONDITION',
  RATE_LIMITED: 'RESOURCE_EXHAUSTED',
  CALLER_UNKNOWN: 'UNAUTHENTICATED',
  CALLER_NOT_PERMITTED: 'PERMISSION_DENIED',
  BUNDLE_MISMATCH: 'FAILED_PRECONDITION',
  REPORT_INVALID: 'INVALID_ARGUMENT',
  CONSENT_UNKNOWN: 'NOT_FOUND',
  CONSENT_STATE: 'FAILED_PRECONDITION',
  CONSENT_LIMITS: 'INVALID_ARGUMENT',
  DEVICE_KEY_INVALID: 'INVALID_ARGUMENT',
  DEVICE_KEY_REUSED: 'FAILED_PRECONDITION',
  INTERNAL: 'INTERNAL',
};

/** A refusal with a public reason. `retryAfterMs`: when a later try can succeed. */
class Refusal extends Error {
  constructor(reason, retryAfterMs = 0) {
    super(reason);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Return if it holds, else refuse for that reason. */
function require_(holds, reason) {
  if (!holds) throw new Refusal(reason);
}

function varint(value) {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

const number = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);

function bytes(field, value) {
  const data = Buffer.from(value);
  return Buffer.concat([varint(field * 8 + 2), varint(data.length), data]);
}

const any = (kind, message) =>
  bytes(3, Buffer.concat([bytes(1, `type.googleapis.com/google.rpc.${kind}`), bytes(2, message)]));

/** The refusal as grpc-js sends it. The status text stays empty. */
function toCall(refusal) {
  const code = status[STATUS[refusal.reason]];
  const parts = [number(1, code), any('ErrorInfo', Buffer.concat([bytes(1, refusal.reason), bytes(2, 'tiergate')]))];
  if (refusal.retryAfterMs) {
    const wait = [number(1, Math.floor(refusal.retryAfterMs / 1000)), number(2, (refusal.retryAfterMs % 1000) * 1e6)];
    parts.push(any('RetryInfo', bytes(1, Buffer.concat(wait))));
  }
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.concat(parts));
  return { code, details: '', metadata };
}

module.exports = { Refusal, require_, toCall };
