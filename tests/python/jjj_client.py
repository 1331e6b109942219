"""A gateway client from nothing but the proto files and the README's "The request token".

Uses grpcio for the calls, PyJWT for the tokens, cryptography to read keys and certificates.
"""

import base64
import hashlib
import json
import os
import pathlib
import sys
import tempfile
import time
import uuid

import grpc
import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from grpc_tools import protoc

import merkle

PACKAGE = "jjj.gateway.v1"
# Reads of personal data, whose tokens bind what is read.
DISCLOSING = {"ElderService/FindElder", "ElderService/ReadPersonalData", "LedgerService/GetEvidence"}


class Api:
    """The proto files, compiled and imported."""

    def __init__(self, proto_dir):
        out = tempfile.mkdtemp()
        files = sorted(str(p) for p in pathlib.Path(proto_dir).rglob("*.proto"))
        include = pathlib.Path(protoc.__file__).parent / "_proto"
        code = protoc.main(["protoc", f"-I{proto_dir}", f"-I{include}", f"--python_out={out}", *files])
        assert code == 0, "protoc failed"
        sys.path.insert(0, out)
        names = [os.path.relpath(file, proto_dir) for file in files]
        for name in names:
            __import__(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        from google.protobuf import descriptor_pool, message_factory

        self.pool, self.factory = descriptor_pool.Default(), message_factory
        self.services = [s for name in names for s in self.pool.FindFileByName(name).services_by_name.values()]

    def method(self, name):
        """The descriptor of `Service/Method`."""
        service, method = name.split("/")
        return self.pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(method)

    def request(self, name):
        return self.factory.GetMessageClass(self.method(name).input_type)

    def answer(self, name):
        return self.factory.GetMessageClass(self.method(name).output_type)

    def methods(self):
        """Every method's full path."""
        return {f"/{service.full_name}/{method.name}" for service in self.services for method in service.methods}


def text(message, field):
    """An enum field's value without its prefix: `text(payment, "state") == "CONFIRMED"`."""
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    return values[getattr(message, field)].name.removeprefix(prefix)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sha256(data):
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def thumbprint(jwk):
    """RFC 7638 of an OKP or EC key."""
    canonical = json.dumps({k: jwk[k] for k in ("crv", "kty", "x", "y") if k in jwk}, separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(canonical.encode()).digest())


def public_jwk(key):
    """The public half of a signing key as a JSON Web Key."""
    algorithm = jwt.get_algorithm_by_name(algorithm_of(key))
    jwk = json.loads(algorithm.to_jwk(key.public_key()))
    return {k: jwk[k] for k in ("crv", "kty", "x", "y") if k in jwk}


def algorithm_of(key):
    return "ES256" if hasattr(key, "curve") else "EdDSA"


class Uuid7:
    """Request ids in the order of their making, by a given clock."""

    def __init__(self, now):
        self.now, self.last = now, 0

    def __call__(self):
        self.last = max(self.last + 1, int(self.now() * 1000) << 12)
        value = (self.last >> 12 << 80) | (0x7 << 76) | ((self.last & 0xFFF) << 64)
        value |= (0b10 << 62) | (int.from_bytes(os.urandom(8), "big") >> 2)
        return str(uuid.UUID(int=value))


def fields(data):
    """The numbers and values of a protobuf message's varint and length-delimited fields."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        yield tag >> 3, value


class Refused(Exception):
    """A refusal: the gRPC status, and the stable reason and variables of its google.rpc.ErrorInfo."""

    def __init__(self, status):
        # google.rpc.Status and its details, read without google's own protos.
        self.code, self.message, self.reason, self.metadata, self.field = 0, "", "", {}, ""
        for number, value in fields(status):
            if number == 1:
                self.code = next(c for c in grpc.StatusCode if c.value[0] == value).name
            elif number == 2:
                self.message = value.decode()
            elif number == 3:
                self.detail(dict(fields(value)))
        super().__init__(f"{self.code} {self.reason} {self.field} {self.metadata}: {self.message}")

    def detail(self, any_message):
        kind, value = any_message[1].decode().rsplit(".", 1)[1], any_message.get(2, b"")
        for number, part in fields(value):
            if kind == "ErrorInfo" and number == 1:
                self.reason = part.decode()
            elif kind == "ErrorInfo" and number == 2:
                assert part == b"gateway.jjj", part
            elif kind == "ErrorInfo" and number == 3:
                entry = dict(fields(part))
                self.metadata[entry[1].decode()] = entry.get(2, b"").decode()
            elif kind == "BadRequest" and number == 1:
                self.field = dict(fields(part))[1].decode()

    @classmethod
    def of(cls, error):
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                return cls(value)
        return error


class Identity:
    """Who a client is: a name, a signing key, a certificate with its key, and whom it trusts."""

    def __init__(self, actor, key, certificate_pem, tls_key_pem, gateway_ca_pem):
        self.actor, self.key = actor, key
        self.certificate_pem, self.tls_key_pem, self.gateway_ca_pem = certificate_pem, tls_key_pem, gateway_ca_pem
        der = x509.load_pem_x509_certificate(certificate_pem).public_bytes(Encoding.DER)
        self.certificate_hash = b64(hashlib.sha256(der).digest())

    @classmethod
    def load(cls, sandbox, actor):
        """As `jjj init` writes them."""
        folder = pathlib.Path(sandbox) / "identities" / actor.replace("/", "-")
        read = lambda name: (folder / name).read_bytes()
        key = load_pem_private_key(read("signing-key.pem"), None)
        return cls(actor, key, read("tls-cert.pem"), read("tls-key.pem"), read("gateway-ca.pem"))

    def with_key(self, key):
        return Identity(self.actor, key, self.certificate_pem, self.tls_key_pem, self.gateway_ca_pem)


class Notebook:
    """What all clients together have done: methods that answered OK, and the receipts they got."""

    def __init__(self):
        self.called, self.receipts = set(), []


class Client:
    """One identity's connection to the gateway."""

    def __init__(self, identity, gateway, api, notebook):
        self.identity, self.gateway, self.api, self.notebook = identity, gateway, api, notebook
        self.actor, self.new_id = identity.actor, Uuid7(gateway.now)
        self.connect(gateway.address)
        gateway.clients.append(self)

    def connect(self, address):
        i = self.identity
        credentials = grpc.ssl_channel_credentials(i.gateway_ca_pem, i.tls_key_pem, i.certificate_pem)
        self.channel = grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", "localhost")])

    def token(self, path, items=None, **changes):
        """A request token; `items` are the messages whose root it binds: of a mutation, or a read of personal data."""
        now = int(self.gateway.now())
        claims = {
            "iss": self.actor,
            "aud": self.gateway.origin,
            "iat": now,
            "exp": now + 120,
            "jti": uuid.uuid4().hex,
            "path": path,
            "cnf": {"x5t#S256": self.identity.certificate_hash},
        }
        if items is not None:
            claims["root"] = b64(merkle.root(items))
        claims.update(changes)
        return self.sign(claims, "jjj-request+jwt")

    def sign(self, claims, typ):
        key = self.identity.key
        headers = {"typ": typ, "kid": thumbprint(public_jwk(key))}
        return jwt.encode(claims, key, algorithm=algorithm_of(key), headers=headers)

    def encode(self, name, /, **fields):
        """A request's bytes; a mutation without a request id gets a fresh one. Persist, then send."""
        request_class = self.api.request(name)
        if "request_id" in request_class.DESCRIPTOR.fields_by_name:
            fields.setdefault("request_id", self.new_id())
        return request_class(**fields).SerializeToString()

    def call(self, name, /, **fields):
        """Calls `Service/Method`."""
        body = self.encode(name, **fields)
        binds = name in DISCLOSING or "request_id" in self.api.method(name).input_type.fields_by_name
        answer = self.send(name, body, self.token(f"/{PACKAGE}.{name}", [body] if binds else None))
        self.note_receipt(answer)
        return answer

    def batch(self, name, single, requests):
        """Calls a batch method, one token over all items; each item's answer, or its `Refused`."""
        items = [self.encode(single, **fields) for fields in requests]
        body = self.api.request(name)(items=items).SerializeToString()
        results = self.send(name, body, self.token(f"/{PACKAGE}.{name}", items)).results
        assert len(results) == len(items), (len(results), len(items))
        parse = self.api.answer(single).FromString
        answers = [Refused(r.status) if r.WhichOneof("outcome") == "status" else parse(r.response) for r in results]
        for answer in answers:
            self.note_receipt(answer)
        return answers

    def batch_all(self, name, single, requests):
        """Like `batch`, where every item must be accepted."""
        answers = self.batch(name, single, requests)
        for answer in answers:
            if isinstance(answer, Refused):
                raise answer
        return answers

    def list(self, name, /, **fields):
        """Every item of a list, page by page."""
        items = next(f.name for f in self.api.method(name).output_type.fields if f.name != "next_page_token")
        fields.setdefault("page_size", 100)
        found, page_token = [], ""
        while True:
            page = self.call(name, page_token=page_token, **fields)
            found.extend(getattr(page, items))
            page_token = page.next_page_token
            if not page_token:
                return found

    def refused(self, reason, name, /, **fields):
        """A call that must be refused with this reason."""
        try:
            answer = self.call(name, **fields)
        except Refused as refused:
            assert refused.reason == reason, refused
            return refused
        raise AssertionError(f"{name} was accepted, not refused with {reason}: {answer}")

    def send(self, name, body, token):
        """Sends exact bytes under a token."""
        path = f"/{PACKAGE}.{name}"
        answer = self.send_raw(path, body, self.api.answer(name).FromString, token)
        self.notebook.called.add(path)
        return answer

    def send_raw(self, path, body, parse=bytes, token=None):
        call = self.channel.unary_unary(path, request_serializer=bytes, response_deserializer=parse)
        metadata = [("authorization", f"Bearer {token}")] if token else []
        try:
            return call(body, metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            raise Refused.of(error) from None

    def stream(self, name, /, **fields):
        """The messages of a server stream, as they come; break off when you have what you want."""
        path = f"/{PACKAGE}.{name}"
        parse = self.api.answer(name).FromString
        call = self.channel.unary_stream(path, request_serializer=bytes, response_deserializer=parse)
        stream = call(self.encode(name, **fields), metadata=[("authorization", f"Bearer {self.token(path)}")], timeout=30)
        try:
            for message in stream:
                self.notebook.called.add(path)
                yield message
        except grpc.RpcError as error:
            raise Refused.of(error) from None
        finally:
            stream.cancel()

    def note_receipt(self, answer):
        if not isinstance(answer, Refused) and "receipt" in answer.DESCRIPTOR.fields_by_name:
            self.notebook.receipts.append(answer.receipt)
