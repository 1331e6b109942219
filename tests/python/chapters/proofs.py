"""What anybody can check: the ledger's sums, the log, receipts, evidence, recognition tokens, the public listener."""

import base64
import hashlib
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

import jwt
from jwcrypto.jwk import JWK
from sd_jwt.verifier import SDJWTVerifier

import merkle
from jjj_client import PACKAGE, Refused, b64

from .cast import told

BOOK = "110000/care_subsidy"


def events(day):
    """Beijing follows what concerns it, in order, behind its cursor."""
    seen = []
    for event in day.beijing.stream("EventService/StreamEvents", cursor=0, follow=True):
        assert merkle.leaf_hash(event.body) == event.leaf_hash
        seen.append(event)
        if event.record == day.payments["pays"].name and event.kind == "payment.confirmed":
            break
    cursors = [event.cursor for event in seen]
    assert cursors == sorted(set(cursors)) and "grant.credited" in {event.kind for event in seen}, seen
    acknowledged = day.beijing.call("EventService/AcknowledgeEvents", cursor=cursors[-1]).cursor
    for event in day.beijing.stream("EventService/StreamEvents", cursor=-1, follow=True):
        assert event.cursor > acknowledged
        break


def play(day):
    ledger(day)
    keys = public_keys(day)
    receipts(day, keys)
    log(day)
    evidence(day, keys)
    recognition_token(day, keys)
    compared_copy(day)


def ledger(day):
    balance = day.chen.call("LedgerService/GetTrialBalance", book=BOOK)
    assert balance.debit_fen == balance.credit_fen > 0, balance
    lines = {line.kind: line for line in balance.lines}
    assert lines["clearing"].balance_fen == lines["suspense"].balance_fen == 0, "all of the day is settled"
    accounts = day.liu.list("LedgerService/ListAccounts", filter=f'book = "{BOOK}" AND kind = "payable"')
    assert sum(account.posted_fen for account in accounts) == lines["payable"].balance_fen, accounts
    entries = day.beijing.list("LedgerService/ListEntries", filter=f'record = "{day.payments["pays"].name}"')
    assert {entry.layer for entry in entries} == {"held", "posted"}, entries
    numbers = [entry.ledger_number for entry in entries]
    assert numbers == sorted(numbers) and all(entry.amount_fen == 50_000 for entry in entries)


def read_public(day, path):
    trust = ssl.create_default_context(cafile=day.gateway.sandbox / "identities/regions-110000/gateway-ca.pem")
    with urllib.request.urlopen(f"https://{day.gateway.public}{path}", context=trust, timeout=10) as answer:
        return answer.read()


def public_keys(day):
    """Everybody's keys in force, by thumbprint; the gateway's are those held by `gateway`."""
    keys = json.loads(read_public(day, "/keys"))["keys"]
    assert any(k["holder"] == day.beijing.actor for k in keys)
    return {k["kid"]: k for k in keys}


def ed25519(jwk):
    return jwt.algorithms.OKPAlgorithm.from_jwk(json.dumps(jwk))


def receipts(day, keys):
    """Every receipt of the day: signed by the gateway, and the promise kept."""
    for receipt in day.notebook.receipts:
        assert receipt.origin == day.gateway.origin
        promise = (
            f"jjj-receipt-v1\n{receipt.origin}\n{receipt.record}\n{receipt.version}\n"
            f"{receipt.leaf_hash.hex()}\n{receipt.log_deadline_time_us}\n"
        )
        leaf = merkle.leaf_hash(promise.encode())
        root = merkle.root_from_path(leaf, receipt.batch_index, receipt.batch_size, receipt.path)
        signed = b"jjj-receipt-v1\x00" + receipt.batch_size.to_bytes(8, "big") + root
        key = keys[receipt.kid]
        assert key["holder"] == "gateway"
        ed25519(key["jwk"]).verify(receipt.signature, signed)
    sealed(day, day.notebook.receipts[-1])
    for receipt in day.notebook.receipts:
        proof = day.wang.call("LedgerService/GetInclusionProof", record=receipt.record, version=receipt.version,
                             leaf_hash=receipt.leaf_hash)
        assert included(proof) and proof.leaf_hash == receipt.leaf_hash, receipt
    told("proven in the log", len(day.notebook.receipts), "receipts")


def included(proof):
    head = proof.checkpoint
    return merkle.root_from_path(proof.leaf_hash, proof.leaf_index, head.tree_size, proof.path) == head.root_hash


def sealed(day, receipt):
    """A leaf is sealed within ten seconds, mostly within one."""
    for _ in range(110):
        try:
            return day.wang.call("LedgerService/GetInclusionProof", record=receipt.record, version=receipt.version)
        except Refused as refused:
            assert refused.reason == "RECORD_NOT_FOUND", refused
            time.sleep(0.1)
    raise AssertionError("the last receipt's leaf is not in the log by its deadline")


def log(day):
    """Each head extends the ones before; the public tiles and checkpoint are of the same log."""
    newest = day.guo.call("LedgerService/GetCheckpoint")
    for size in (1, newest.tree_size // 2, newest.tree_size):
        earlier = day.guo.call("LedgerService/GetCheckpoint", min_size=size)
        proof = day.guo.call("LedgerService/GetConsistencyProof", from_size=earlier.tree_size, to_size=newest.tree_size)
        heads = (earlier.tree_size, earlier.root_hash, newest.tree_size, newest.root_hash)
        assert merkle.is_consistent(*heads, proof.path), (size, proof)
    origin, size, root = read_public(day, "/checkpoint").decode().split("\n")[:3]
    assert origin == day.gateway.origin and int(size) >= newest.tree_size and len(base64.b64decode(root)) == 32
    proof = day.beijing.call("LedgerService/GetInclusionProof", record=day.payments["pays"].name, version=2)
    tile, place = divmod(proof.leaf_index, 256)
    width = min(256, newest.tree_size - tile * 256)
    hashes = read_public(day, f"/tile/0/{tile:03}" + ("" if width == 256 else f".p/{width}"))
    assert hashes[place * 32 : place * 32 + 32] == proof.leaf_hash
    try:
        read_public(day, "/nothing")
        raise AssertionError("found nothing")
    except urllib.error.HTTPError as error:
        assert error.code == 404


def evidence(day, keys):
    """Who made a record, provable to a third party: the request's bytes under the channel's own token."""
    for name, version, author in (
        (day.payments["pays"].name, 1, day.unionpay), (day.payments["refunded"].name, 1, day.unionpay), (day.rating, 1, day.hebei),
    ):
        found = day.beijing.call("LedgerService/GetEvidence", record=name, version=version)
        key = keys[found.kid]
        assert found.author == key["holder"] == author.actor, found
        past = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        claims = jwt.decode(found.token, ed25519(key["jwk"]), algorithms=["EdDSA"], options=past)
        item = merkle.leaf_hash(found.request)
        root = merkle.root_from_path(item, found.batch_index, found.batch_size, found.path)
        assert claims["root"] == b64(root) and claims["path"] == found.method, claims
        assert merkle.leaf_hash(found.leaf) == found.leaf_hash == found.receipt.leaf_hash
        assert json.loads(found.leaf)
    assert day.beijing.call("LedgerService/GetEvidence", record=day.payments["pays"].name, version=1).request == day.authorisation



def recognition_token(day, keys):
    """Levels only, nothing personal; with the gateway's public key anyone checks it offline."""
    token = day.recognition_token
    header = jwt.get_unverified_header(token.token)
    assert header["typ"] == "jjj-recognition+jwt" and keys[header["kid"]]["holder"] == "gateway", header
    key, past = ed25519(keys[header["kid"]]["jwk"]), {"verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(token.token, key, algorithms=["EdDSA"], options=past)
    assert claims["iss"] == day.gateway.origin and claims["sub"] == day.recognition, claims
    assert claims["rec"]["record"] == day.rating and claims["rec"]["recognized"] == "4", claims
    assert claims["status"]["status_list"] == {"uri": token.status_list_uri, "idx": token.status_list_index}, claims
    # The same as an SD-JWT, with all that its holder may keep back.
    issuer = lambda _, header: JWK(**keys[header["kid"]]["jwk"])
    shown = SDJWTVerifier(day.sd_recognition.sd_jwt, issuer).get_verified_payload()
    assert {name: shown[name] for name in ("iss", "sub", "exp", "rec", "status")} == {
        name: claims[name] for name in ("iss", "sub", "exp", "rec", "status")
    }, shown
    # The same with nothing but standards: the key out of the JWKS, the status out of the list.
    jwks = jwt.PyJWKSet.from_dict(json.loads(read_public(day, "/.well-known/jwks.json")))
    assert jwt.decode(token.token, jwks[header["kid"]].key, algorithms=["EdDSA"], options=past) == claims
    assert status(day, jwks, claims) == 0, "VALID"
    decide = {"record": day.rating, "verdict": "RECOGNITION_VERDICT_SUSPEND", "reason": "动态退出"}
    day.beijing.call("RecognitionService/DecideRecognition", **decide)
    time.sleep(6)
    assert status(day, jwks, claims) == 2, "SUSPENDED"
    told("recognized offline", claims["rec"]["recognizer"], claims["rec"]["scheme"], claims["rec"]["recognized"])


def status(day, jwks, claims):
    """What the status list says of a token: IETF Token Status List, two bits a place."""
    place = claims["status"]["status_list"]
    served = read_public(day, urllib.parse.urlparse(place["uri"]).path).decode()
    header = jwt.get_unverified_header(served)
    assert header["typ"] == "statuslist+jwt", header
    listed = jwt.decode(served, jwks[header["kid"]].key, algorithms=["EdDSA"], options={"verify_exp": False, "verify_iat": False})
    assert listed["sub"] == place["uri"] and listed["iat"] < listed["exp"] and 0 < listed["ttl"] <= 60, listed
    assert listed["status_list"]["bits"] == 2
    by_call = day.unionpay.call("RecognitionService/GetStatusList", list=0)
    assert by_call.uri == place["uri"] and jwt.get_unverified_header(by_call.token) == header
    lst = listed["status_list"]["lst"]
    places = zlib.decompress(base64.urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
    return places[place["idx"] // 4] >> place["idx"] % 4 * 2 & 3
def compared_copy(day):
    """Hebei's copy of its recognitions, from the bodies of its events, has the gateway's digest; one letter off has not."""
    copy = {}
    for event in day.hebei.stream("EventService/StreamEvents", cursor=0, follow=False):
        for row in json.loads(event.body)["rows"]:
            if row["t"] == "recognitions":
                copy[row["r"]["recognition"]] = json.dumps(row["r"], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    digest = lambda text: hashlib.sha256(text.encode()).digest()
    compare = lambda **of: day.hebei.call("RecordService/CompareRecords", collection="RECORD_COLLECTION_RECOGNITIONS", **of)
    answer = compare(ranges=[{}], fan_out=2)
    told_of, after = answer.ranges[0], ""
    assert len(told_of.pieces) == 2 and answer.ledger_number > 0, answer
    for piece in told_of.pieces:
        own = [digest(text) for name, text in sorted(copy.items()) if after < name and (not piece.upto or name <= piece.upto)]
        assert (len(own), digest_of(own)) == (piece.count, piece.digest), piece
        after = piece.upto
    items = compare(ranges=[{}], fan_out=256).ranges[0].items
    assert {item.name: item.digest for item in items} == {name: digest(text) for name, text in copy.items()}
    fetched = day.hebei.call("RecordService/FetchRecords", collection="RECORD_COLLECTION_RECOGNITIONS", names=sorted(copy))
    assert list(fetched.records) == [copy[name] for name in sorted(copy)]
    told("compared", len(copy), "recognitions")


def digest_of(digests):
    return hashlib.sha256(b"".join(digests)).digest()
