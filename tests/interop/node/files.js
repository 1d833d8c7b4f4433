'use strict';
// What a city is given: signed files, keys, residents. Whatever is not in order ends the process.

const fs = require('node:fs');
const path = require('node:path');
const { canonical, privateKey, sha256, unseal } = require('./jose');

const BUNDLE = 'application/vnd.tiergate.bundle+json';
const DIRECTORY = 'application/vnd.tiergate.directory+json';

function residentsOf(text) {
  const lines = text.trim().split(/\r?\n/);
  const trailer = lines.pop();
  const body = text.slice(0, text.lastIndexOf('#'));
  const expected = `# rows=${lines.length - 1} sha256=${sha256(body).toString('hex')}`;
  if (trailer !== expected || lines[0] !== 'resident,score,as_of') throw new Error('residents.csv is not whole');
  const rows = lines.slice(1).map((line) => line.split(','));
  return new Map(rows.map(([ref, score, day]) => [ref, { score: score === '' ? null : Number(score), day }]));
}

/** Everything in the folder that the kit made for the city. */
function read(folder) {
  const file = (name) => fs.readFileSync(path.join(folder, name));
  const root = JSON.parse(file('root.json'));
  const directory = JSON.parse(unseal(file('directory.json'), root, DIRECTORY));
  const signedBundle = unseal(file('bundle.json'), root, BUNDLE);
  const bundle = JSON.parse(signedBundle);
  const now = Date.now() / 1000;
  const lastDay = Date.parse(bundle.expires) / 1000 + 86400;
  if (directory.expires <= now || lastDay <= now) throw new Error('signed files have run out');
  if (canonical(bundle) !== signedBundle.toString()) throw new Error('the bundle is not in canonical form');
  const keys = {};
  for (const purpose of ['consent', 'attestation', 'event']) keys[purpose] = privateKey(file(`keys/${purpose}.pem`));
  const listed = (peer) => peer.keys.some((key) => key.purpose === 'consent' && key.kid === keys.consent.kid);
  const city = directory.cities.find(listed);
  if (!city) throw new Error('the directory lists no city with this consent key');
  for (const [purpose, { kid }] of Object.entries(keys)) {
    const known = city.keys.some((key) => key.purpose === purpose && key.kid === kid);
    if (!known) throw new Error(`${purpose} key is not listed`);
  }
  return {
    directory,
    bundle,
    digest: sha256(signedBundle).toString('hex'),
    city,
    keys,
    pairwise: file('keys/pairwise.secret'),
    residents: residentsOf(file('residents.csv').toString()),
    tls: { cert: file('tls/cert.pem'), key: file('tls/key.pem'), ca: file('tls/ca.pem') },
  };
}

module.exports = { read };
