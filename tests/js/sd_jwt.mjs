// Checks the gateway's SD-JWT of a recognition, whole, with nothing disclosed, and bound by a holder's key, with
// @sd-jwt/core; and issues and presents the same itself, to be checked by the gateway's own code.
//
// Usage: node sd_jwt.mjs FOLDER: reads sd.json; writes foreign_sd.json.

import { readFileSync, writeFileSync } from 'node:fs'
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import assert from 'node:assert/strict'
import { SDJwtInstance } from '@sd-jwt/core'
import { calculateJwkThumbprint } from 'jose'

const folder = process.argv[2]
const given = JSON.parse(readFileSync(`${folder}/sd.json`, 'utf8'))
const currentDate = given.now_s
const hasher = (data) => createHash('sha256').update(data).digest()
const saltGenerator = (length) => randomBytes(length).toString('base64url')
const options = (key) => (key.asymmetricKeyType === 'ec' ? { key, dsaEncoding: 'ieee-p1363' } : { key })
const hash = (key) => (key.asymmetricKeyType === 'ec' ? 'sha256' : null)
const signer = (key) => (data) => sign(hash(key), Buffer.from(data), options(key)).toString('base64url')
const verifier = (key) => (data, signature) =>
  verify(hash(key), Buffer.from(data), options(key), Buffer.from(signature, 'base64url'))
const publicKey = (jwk) => createPublicKey({ key: jwk, format: 'jwk' })
const kbVerifier = (data, signature, payload) => verifier(publicKey(payload.cnf.jwk))(data, signature)

const reader = new SDJwtInstance({ hasher, hashAlg: 'sha-256', verifier: verifier(publicKey(given.jwk)), kbVerifier })
const whole = await reader.verify(given.issued, { currentDate })
assert.equal(whole.header.typ, 'jjj-recognition+sd-jwt')
assert.deepEqual(whole.payload.rec.scores, { self_care: 12, mobility: 7, mental_state: 9, perception_social: 3 })
const little = await reader.verify(given.nothing, { currentDate })
assert.equal(little.payload.rec.recognized, '3')
assert.deepEqual([little.payload.rec.subject, little.payload.rec.scores], [undefined, {}])
const bound = await reader.verify(given.bound, { currentDate, keyBindingNonce: given.nonce })
assert.equal(bound.kb.payload.aud, given.aud)
assert.equal(bound.payload.rec.subject, whole.payload.rec.subject)
await assert.rejects(reader.verify(given.bound, { currentDate, keyBindingNonce: 'another' }))
await assert.rejects(reader.verify(given.issued.replace('.', 'x.'), { currentDate }))
await assert.rejects(reader.verify(given.issued, { currentDate: whole.payload.exp + 1 }))

const made = []
for (const [signAlg, type, parameters, kbSignAlg] of [
  ['EdDSA', 'ed25519', {}, 'ES256'],
  ['ES256', 'ec', { namedCurve: 'P-256' }, 'EdDSA'],
]) {
  const issuer = generateKeyPairSync(type, parameters)
  const holder = kbSignAlg === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = issuer.publicKey.export({ format: 'jwk' })
  const maker = new SDJwtInstance({
    hasher, hashAlg: 'sha-256', saltGenerator, signAlg, signer: signer(issuer.privateKey), kbSignAlg, kbSigner: signer(holder.privateKey),
  })
  const claims = { ...whole.payload, cnf: { jwk: holder.publicKey.export({ format: 'jwk' }) } }
  const frame = { rec: { _sd: ['subject'], scores: { _sd: Object.keys(whole.payload.rec.scores) } } }
  const kid = await calculateJwkThumbprint(jwk)
  const issued = await maker.issue(claims, frame, { header: { typ: 'jjj-recognition+sd-jwt', kid } })
  const kb = { payload: { iat: given.now_s, aud: given.aud, nonce: given.nonce } }
  const presented = await maker.present(issued, { rec: { scores: { mobility: true } } }, { kb })
  made.push({ jwk, issued, presented })
}
writeFileSync(`${folder}/foreign_sd.json`, JSON.stringify(made))
