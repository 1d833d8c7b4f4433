'use strict';
// A first check in Node.js: node check.js PROTO-FOLDER SCENARIO TOKEN-FILE prints the decision as JSON.
//
// It needs @grpc/grpc-js and @grpc/proto-loader, the contract (proto/), and beside this file what `tiergate operator
// init` made, the certificate, and the signed files. It is for counted tokens: one that is bound to your key needs a
// proof besides (proto/README.md). Exit code 3: no answer now, apply the base offer and retry with the same request id.

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const DIRECTORY = 'application/vnd.tiergate.directory+json';
const DEADLINE_MS = 10_000;
const beside = (name) => fs.readFileSync(path.join(__dirname, name));

/**
 * The peer directory, if as many authorities of the root signed it as must: a DSSE v1 envelope, signatures of 64 bytes.
 * A root that has been replaced (root.2.json beside it) is not followed here; `tiergate` does.
 */
function signedDirectory() {
  const root = JSON.parse(beside('root.json'));
  const envelope = JSON.parse(beside('directory.json'));
  if (envelope.payloadType !== DIRECTORY) throw new Error('directory.json is something else');
  const payload = Buffer.from(envelope.payload, 'base64');
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${DIRECTORY.length} ${DIRECTORY} ${payload.length} `), payload]);
  const names = new Set();
  for (const { name, keyid, jwk, payload_types: types } of root.authorities) {
    const given = envelope.signatures.find((item) => item.keyid === keyid);
    if (!given || !types.includes(DIRECTORY)) continue;
    const key = { key: crypto.createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
    const algorithm = jwk.kty === 'EC' ? 'sha256' : null;
    if (crypto.verify(algorithm, signed, key, Buffer.from(given.sig, 'base64'))) names.add(name);
  }
  const threshold = root.thresholds[DIRECTORY];
  if (!(threshold >= 1 && names.size >= threshold)) throw new Error('too few authorities have signed the directory');
  const directory = JSON.parse(payload);
  if (directory.expires <= Date.now() / 1000) throw new Error('the directory has expired');
  return directory;
}

const [protos, scenario, tokenFile] = process.argv.slice(2);
const { address, server_name: name } = signedDirectory().gateway.endpoint;
const contract = loader.loadSync('gateway/api/operator/v1/operator.proto', {
  includeDirs: [protos, path.join(__dirname, 'include')],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { EligibilityService } = grpc.loadPackageDefinition(contract).gateway.api.operator.v1;
const credentials = grpc.credentials.createSsl(beside('tls/ca.pem'), beside('tls/key.pem'), beside('tls/cert.pem'));
// the name that the certificate must carry is the directory's, whatever address was dialled
const client = new EligibilityService(address, credentials, {
  'grpc.ssl_target_name_override': name,
  'grpc.default_authority': name,
  'grpc.enable_http_proxy': 0,
});
const request = {
  request_id: crypto.randomBytes(24).toString('base64url'), // repeat it for a retry: the same check, at no further use
  scenario,
  presentation: { token: { token: fs.readFileSync(tokenFile, 'ascii').trim() } },
};
client.CheckEligibility(request, { deadline: Date.now() + DEADLINE_MS }, (error, answer) => {
  client.close();
  if (error) {
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    const later = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED'].includes(grpc.status[error.code]);
    process.exitCode = later ? 3 : 1;
    return;
  }
  console.log(JSON.stringify(answer.decision, null, 2));
});
