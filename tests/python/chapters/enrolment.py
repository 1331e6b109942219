"""A fourth province joins: its first key confirmed by two people, its keys and people changed by itself."""

import datetime
import json

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jjj_client import Client, Identity, public_jwk, text, thumbprint

from .cast import told

SHANXI = "regions/140000"


def play(day):
    authority = Authority("CN of Shanxi's authority")
    key = Ed25519PrivateKey.generate()
    enrol(day, authority, key)
    identity = Identity(SHANXI, key, *authority.client_certificate(SHANXI), day.beijing.identity.gateway_ca_pem)
    shanxi = Client(identity, day.gateway, day.api, day.notebook)
    shanxi = keys(day, shanxi)
    authorities(shanxi)
    administrators(day, shanxi, authority)
    suspension(day, shanxi)
    told("enrolled", shanxi.call("ParticipantService/GetParticipant", name=SHANXI).display_name)


def enrol(day, authority, key):
    """Wang enrols it; Li has confirmed the key's fingerprint by telephone and says so with a signature."""
    fingerprint = thumbprint(public_jwk(key))
    statement = {
        "iss": day.li.actor, "aud": day.gateway.origin, "sub": SHANXI, "fingerprint": fingerprint,
        "iat": int(day.gateway.now()),
    }
    confirmation = {
        "administrator": day.li.actor, "fingerprint": fingerprint,
        "statement": day.li.sign(statement, "jjj-confirmation+jwt"),
    }
    enrol = {
        "name": SHANXI, "display_name": "山西省民政厅", "kind": "PARTICIPANT_KIND_REGION", "authority_pem": authority.pem(),
        "first_key_jwk": json.dumps(public_jwk(key)), "first_key_fingerprint": fingerprint,
    }
    day.wang.refused("CONFIRMATION_MISSING", "ParticipantService/CreateParticipant", **enrol)
    day.wang.call("ParticipantService/CreateParticipant", **enrol, confirmations=[confirmation])
    names = {p.name for p in day.beijing.list("ParticipantService/ListParticipants")}
    assert {SHANXI, "regions/110000", "channels/unionpay"} <= names, names


def keys(day, shanxi):
    """A change of keys, from Ed25519 to P-256; one lost on the way. Returns the client with the new key."""
    first = f"{SHANXI}/keys/{thumbprint(public_jwk(shanxi.identity.key))}"
    shanxi.refused("LAST_KEY", "ParticipantService/RetireKey", key=first, reason="轮换")
    new, lost = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    for key in (new, lost):
        jwk = public_jwk(key)
        shanxi.call("ParticipantService/AddKey", owner=SHANXI, jwk=json.dumps(jwk), fingerprint=thumbprint(jwk))
    successor = Client(shanxi.identity.with_key(new), day.gateway, day.api, day.notebook)
    successor.call("ParticipantService/RetireKey", key=first, reason="轮换")
    withdrawn = f"{SHANXI}/keys/{thumbprint(public_jwk(lost))}"
    successor.call(
        "ParticipantService/WithdrawKey", key=withdrawn, suspect_from_time_us=day.now_us() - 60_000_000, reason="介质遗失"
    )
    # What the first key signed before it went: the two additions; and nobody else may ask.
    signed = successor.list("ParticipantService/ListSignatures", key=first, from_time_us=1)
    assert [s.method.rsplit("/", 1)[1] for s in signed] == ["AddKey", "AddKey"], signed
    assert all(text(s, "kind") == "REQUEST" and s.author == SHANXI for s in signed), signed
    day.beijing.refused("NOT_YOUR_RECORD", "ParticipantService/ListSignatures", key=first)
    known = successor.list("ParticipantService/ListKeys", filter=f'owner = "{SHANXI}" AND state = "ACTIVE"')
    assert [k.kid for k in known] == [thumbprint(public_jwk(new))], known
    return successor


def authorities(shanxi):
    second = Authority("CN of Shanxi's second authority")
    added = shanxi.call("ParticipantService/AddAuthority", participant=SHANXI, certificate_pem=second.pem()).authority
    shanxi.call("ParticipantService/WithdrawAuthority", authority=added.name, reason="未启用")
    assert len(shanxi.list("ParticipantService/ListAuthorities", filter=f'participant = "{SHANXI}"')) == 2


def administrators(day, shanxi, authority):
    """The first is added by the system, the next by the first; each has a key of their own."""
    wei = add_administrator(day, shanxi, authority, "wei")
    bai = add_administrator(day, wei, authority, "bai")
    third = new_administrator("third", Ed25519PrivateKey.generate())
    shanxi.refused("ROLE_NOT_ALLOWED", "ParticipantService/AddAdministrator", **third)
    wei.refused("SELF_REMOVAL", "ParticipantService/RemoveAdministrator", administrator=wei.actor, reason="离任")
    wei.call("ParticipantService/RemoveAdministrator", administrator=bai.actor, reason="离任")
    known = wei.list("ParticipantService/ListAdministrators", filter=f'participant = "{SHANXI}"')
    assert {a.name: text(a, "standing") for a in known} == {wei.actor: "ACTIVE", bai.actor: "REMOVED"}, known


def new_administrator(name, key):
    jwk = public_jwk(key)
    return {
        "name": f"{SHANXI}/admins/{name}", "display_name": "对账员", "first_key_jwk": json.dumps(jwk),
        "first_key_fingerprint": thumbprint(jwk),
    }


def add_administrator(day, adder, authority, name):
    """They connect under a certificate of their participant's authority."""
    key = Ed25519PrivateKey.generate()
    added = adder.call("ParticipantService/AddAdministrator", **new_administrator(name, key)).administrator.name
    identity = Identity(added, key, *authority.client_certificate(added), adder.identity.gateway_ca_pem)
    return Client(identity, day.gateway, day.api, day.notebook)


def suspension(day, shanxi):
    day.wang.call("ParticipantService/SuspendParticipant", participant=SHANXI, reason="证书核查")
    shanxi.refused("PARTICIPANT_SUSPENDED", "ParticipantService/GetParticipant", name=SHANXI)
    day.wang.call("ParticipantService/ReinstateParticipant", participant=SHANXI, reason="核查完毕")


class Authority:
    """A certificate authority of one's own."""

    def __init__(self, common_name):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), named(common_name)
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = certificate(self.name, self.name, self.key.public_key(), constraint).sign(self.key, SHA256())

    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def client_certificate(self, actor):
        """Certificate and key of a TLS client, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        signed = certificate(named(actor), self.name, key.public_key(), usage).sign(self.key, SHA256())
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return signed.public_bytes(Encoding.PEM), key_pem


def named(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate(subject, issuer, public_key, extension):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=365))
    return builder.add_extension(extension, critical=True)
