"""A gateway client from nothing but the proto files and the README's "The request token".

Uses grpcio for the calls, PyJWT for the tokens, cryptography to read the certificate.
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

PACKAGE = "jjj.gateway.v1"


def load_protos(proto_dir):
    """Compiles the proto files and imports them; returns a lookup of message classes."""
    out = tempfile.mkdtemp()
    files = sorted(str(p) for p in pathlib.Path(proto_dir).rglob("*.proto"))
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{proto_dir}", f"-I{include}", f"--python_out={out}", *files])
    assert code == 0, "protoc failed"
    sys.path.insert(0, out)
    for file in files:
        module = os.path.relpath(file, proto_dir)[: -len(".proto")].replace("/", ".") + "_pb2"
        __import__(module)
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.Default()

    def message(name):
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def method(path):
        service, name = path.split("/")
        return pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(name)

    return message, method


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def merkle_root(items):
    """RFC 6962 section 2.1 over the items' exact bytes."""
    if len(items) == 1:
        return hashlib.sha256(b"\x00" + items[0]).digest()
    split = 1
    while split * 2 < len(items):
        split *= 2
    return hashlib.sha256(b"\x01" + merkle_root(items[:split]) + merkle_root(items[split:])).digest()


def thumbprint(jwk):
    """RFC 7638 of an OKP key."""
    canonical = json.dumps({k: jwk[k] for k in ("crv", "kty", "x")}, separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(canonical.encode()).digest())


def uuid7():
    ms = int(time.time() * 1000)
    value = (ms << 80) | (0x7 << 76) | (int.from_bytes(os.urandom(2), "big") >> 4 << 64)
    value |= (0b10 << 62) | (int.from_bytes(os.urandom(8), "big") >> 2)
    return str(uuid.UUID(int=value))


class Refused(Exception):
    """A refusal with the stable reason of its google.rpc.ErrorInfo."""

    def __init__(self, error):
        self.code = error.code().name
        self.reason = next((reason for reason in _reasons(error)), "")
        super().__init__(f"{self.code} {self.reason}: {error.details()}")


def _reasons(error):
    """Reads ErrorInfo.reason out of grpc-status-details-bin without google's own protos."""
    from google.protobuf import any_pb2

    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        # google.rpc.Status: field 3, repeated Any details.
        for field, payload in _fields(value):
            if field == 3:
                detail = any_pb2.Any.FromString(payload)
                if detail.type_url.endswith("google.rpc.ErrorInfo"):
                    yield from (text.decode() for number, text in _fields(detail.value) if number == 1)


def _fields(data):
    """The length-delimited fields of a protobuf message."""
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
        if tag & 7 == 2:
            length = varint()
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            varint()


class Client:
    """One identity's connection to the gateway."""

    def __init__(self, sandbox, actor, address, origin, protos):
        folder = pathlib.Path(sandbox) / "identities" / actor.replace("/", "-")
        read = lambda name: (folder / name).read_bytes()
        self.actor, self.origin = actor, origin
        self.message, self.method = protos
        self.key = load_pem_private_key(read("signing-key.pem"), None)
        self.kid = thumbprint(json.loads(read("signing-key.jwk.json")))
        certificate = x509.load_pem_x509_certificate(read("tls-cert.pem"))
        self.certificate_hash = b64(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest())
        credentials = grpc.ssl_channel_credentials(read("gateway-ca.pem"), read("tls-key.pem"), read("tls-cert.pem"))
        options = [("grpc.ssl_target_name_override", "localhost")]
        self.channel = grpc.secure_channel(address, credentials, options)

    def token(self, path, items=None, **changes):
        now = int(time.time())
        claims = {
            "iss": self.actor,
            "aud": self.origin,
            "iat": now,
            "exp": now + 120,
            "jti": uuid.uuid4().hex,
            "path": path,
            "cnf": {"x5t#S256": self.certificate_hash},
        }
        if items is not None:
            claims["root"] = b64(merkle_root(items))
        claims.update(changes)
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"typ": "jjj-request+jwt", "kid": self.kid})

    def call(self, name, **fields):
        """Calls `Service/Method`; a mutation without request_id gets a fresh one."""
        method = self.method(name)
        request_class = self.message(method.input_type.name)
        if "request_id" in method.input_type.fields_by_name:
            fields.setdefault("request_id", uuid7())
        request = request_class(**fields)
        mutating = "request_id" in method.input_type.fields_by_name
        body = request.SerializeToString()
        path = f"/{PACKAGE}.{name}"
        return self.send(name, body, self.token(path, [body] if mutating else None))

    def batch(self, name, single, requests):
        """Calls a batch method; one token over all items."""
        request_class = self.message(self.method(single).input_type.name)
        items = [request_class(**{"request_id": uuid7(), **fields}).SerializeToString() for fields in requests]
        body = self.message("BatchMutateRequest")(items=items).SerializeToString()
        results = self.send(name, body, self.token(f"/{PACKAGE}.{name}", items)).results
        answer_class = self.message(self.method(single).output_type.name)
        assert all(r.WhichOneof("outcome") == "response" for r in results), results
        return [answer_class.FromString(r.response) for r in results]

    def send(self, name, body, token):
        """Sends exact bytes under a token."""
        answer_class = self.message(self.method(name).output_type.name)
        call = self.channel.unary_unary(
            f"/{PACKAGE}.{name}",
            request_serializer=lambda data: data,
            response_deserializer=answer_class.FromString,
        )
        try:
            return call(body, metadata=[("authorization", f"Bearer {token}")], timeout=30)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def stream(self, name, **fields):
        method = self.method(name)
        body = self.message(method.input_type.name)(**fields).SerializeToString()
        answer_class = self.message(method.output_type.name)
        call = self.channel.unary_stream(
            f"/{PACKAGE}.{name}",
            request_serializer=lambda data: data,
            response_deserializer=answer_class.FromString,
        )
        token = self.token(f"/{PACKAGE}.{name}")
        return call(body, metadata=[("authorization", f"Bearer {token}")], timeout=30)
