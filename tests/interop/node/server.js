'use strict';
// A city's peer for the conformance kit: node server.js PROTO-FOLDER CITY-FOLDER ADDRESS
//
// Written from the contract and the kit's page alone, to see that these are enough. In memory, for a test deployment:
// it pushes no events, follows no change of the signed files, and forgets everything when it ends.

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const { Attestations } = require('./attestations');
const { Consents } = require('./consents');
const { Refusal, require_, toCall } = require('./errors');
const { read } = require('./files');
const { Reports } = require('./log');
const rules = require('./rules');

const [protos, folder, address] = process.argv.slice(2);
const files = read(folder);
const { directory, city } = files;

/** The role of who calls, by the one URI name of the certificate; the directory says who there is. */
function roleOf(call) {
  const names = call.getAuthContext().sslPeerCertificate?.subjectaltname?.split(', ') ?? [];
  const uris = names.filter((name) => name.startsWith('URI:')).map((name) => name.slice(4));
  require_(uris.length === 1, 'CALLER_UNKNOWN');
  const [uri] = uris;
  const one = (role, identities) => (identities.includes(uri) ? role : undefined);
  const identities = (peers) => peers.map((peer) => peer.identity);
  const role =
    one('gateway', [directory.gateway.identity]) ??
    one('app', [`${city.identity}/app`]) ??
    one('other-app', directory.cities.map((peer) => `${peer.identity}/app`)) ??
    one('city', identities(directory.cities)) ??
    one('operator', identities(directory.operators)) ??
    one('auditor', Object.values(directory.auditors)) ??
    one('witness', Object.values(directory.witnesses));
  require_(role, 'CALLER_UNKNOWN');
  return role;
}

/** A handler: who may call (nothing: every known peer), the contract's rules, then the work. */
function method(role, check, work) {
  return (call, answer) => {
    try {
      const caller = roleOf(call);
      require_(!role || caller === role, 'CALLER_NOT_PERMITTED');
      check(call.request);
      answer(null, work(call.request));
    } catch (error) {
      if (!(error instanceof Refusal)) console.error('fault:', error.name); // never what it was about
      answer(toCall(error instanceof Refusal ? error : new Refusal('INTERNAL')));
    }
  };
}

const consents = new Consents(files);
const attestations = new Attestations(files, consents);
const reports = new Reports(directory, city.id, (id) => attestations.hashes.get(id));
const anything = () => {};
const inForce = () => ({
  directory_version: directory.version,
  bundle_digest: files.digest,
  signing: ['consent', 'attestation'].map((purpose) => ({ purpose, kid: files.keys[purpose].kid })),
  answered_at: { seconds: Math.floor(Date.now() / 1000), nanos: (Date.now() % 1000) * 1e6 },
});

const found = loader.loadSync(
  ['peer/v1/peer.proto', 'peer/v1/status.proto', 'consent/v1/consent.proto'].map((name) => `gateway/api/${name}`),
  {
    includeDirs: [protos, path.join(__dirname, 'include')],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  },
);
const server = new grpc.Server();
server.addService(found['gateway.api.peer.v1.AttestationService'], {
  AttestTier: method('gateway', rules.question, (item) => attestations.attest(item)),
  BatchAttestTier: method('gateway', rules.batch, ({ items }) => attestations.batch(items, rules.question)),
});
server.addService(found['gateway.api.peer.v1.UseReportService'], {
  ReportUses: method('gateway', rules.reports, (item) => reports.take(item)),
});
server.addService(found['gateway.api.peer.v1.StatusService'], { GetInForce: method('', anything, inForce) });
server.addService(found['gateway.api.consent.v1.ConsentService'], {
  PreviewConsent: method('app', rules.preview, (item) => consents.preview(item)),
  GrantConsent: method('app', rules.grant, (item) => consents.grant(item)),
  WithdrawConsent: method('app', rules.change, (item) => consents.withdraw(item)),
  PauseConsent: method('app', rules.change, (item) => consents.turn(item, 'active', 'paused')),
  ResumeConsent: method('app', rules.change, (item) => consents.turn(item, 'paused', 'active')),
  IssueHandle: method('app', rules.handle, (item) => consents.issueHandle(item)),
});

const { cert, key, ca } = files.tls;
const credentials = grpc.ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: cert }], true);
server.bindAsync(address, credentials, (error, port) => {
  if (error) throw error;
  console.log(`serving ${port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.forceShutdown());
