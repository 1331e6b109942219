// Checks the gateway's recognition token and status list with nothing but the JWK Set and standard
// libraries (jose, zlib), and makes the same two itself, to be checked by the gateway's own code.
//
// Usage: node tokens.mjs FOLDER: reads jwks.json, token.jwt, status.jwt; writes foreign.json.

import { readFileSync, writeFileSync } from 'node:fs'
import { deflateSync, inflateSync } from 'node:zlib'
import assert from 'node:assert/strict'
import { SignJWT, calculateJwkThumbprint, createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose'

const folder = process.argv[2]
const read = (name) => readFileSync(`${folder}/${name}`, 'utf8')
const keys = createLocalJWKSet(JSON.parse(read('jwks.json')))
const currentDate = new Date(1_790_000_010_000)

const token = await jwtVerify(read('token.jwt'), keys, { typ: 'jjj-recognition+jwt', issuer: 'gateway.test', currentDate })
assert.equal(token.payload.rec.recognized, '4')
const { uri, idx } = token.payload.status.status_list
const list = await jwtVerify(read('status.jwt'), keys, { typ: 'statuslist+jwt', subject: uri, currentDate })
const { bits, lst } = list.payload.status_list
const places = inflateSync(Buffer.from(lst, 'base64url'))
const status = (idx) => (places[Math.floor((idx * bits) / 8)] >> ((idx * bits) % 8)) & (2 ** bits - 1)
assert.deepEqual([status(idx), status(idx + 1), status(idx + 2)], [0, 2, 1])

const stale = new Date(1_790_000_060_000)
await assert.rejects(jwtVerify(read('status.jwt'), keys, { currentDate: stale }), { code: 'ERR_JWT_EXPIRED' })
await assert.rejects(jwtVerify(read('token.jwt').slice(0, -4) + 'AAAA', keys, { currentDate }))

const made = []
for (const alg of ['EdDSA', 'ES256']) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { crv: alg === 'EdDSA' ? 'Ed25519' : undefined })
  const { kty, crv, x, y } = await exportJWK(publicKey)
  const jwk = y ? { kty, crv, x, y } : { kty, crv, x }
  const kid = await calculateJwkThumbprint(jwk)
  const sign = (typ, claims) => new SignJWT(claims).setProtectedHeader({ typ, alg, kid }).sign(privateKey)
  const packed = deflateSync(places, { level: 9 }).toString('base64url')
  made.push({
    jwk,
    token: await sign('jjj-recognition+jwt', token.payload),
    status: await sign('statuslist+jwt', { ...list.payload, status_list: { bits, lst: packed } }),
  })
}
writeFileSync(`${folder}/foreign.json`, JSON.stringify(made))
