"""Tokens taken from elsewhere open nothing; health and reflection need the certificate alone."""

from jjj_client import PACKAGE, Refused, fields

AUTHORISE = "PaymentService/AuthorizePayment"


def play(day):
    tokens(day)
    certificate_alone(day)


def tokens(day):
    body, channel = day.authorisation, day.unionpay
    path, other = f"/{PACKAGE}.{AUTHORISE}", f"/{PACKAGE}.PaymentService/ConfirmPayment"
    past = int(day.gateway.now()) - 900
    # A whole call taken and sent again gets its first answer, and changes nothing.
    before = day.balance(day.elders["pays"])
    whole = channel.token(path, [body])
    assert channel.send(AUTHORISE, body, whole) == channel.send(AUTHORISE, body, whole)
    assert day.balance(day.elders["pays"]).available_fen == before.available_fen
    for reason, token in [
        ("TOKEN_PATH_WRONG", channel.token(other, [body])),
        ("TOKEN_CONTENT_MISMATCH", channel.token(path, [body + b"x"])),
        ("TOKEN_CONTENT_NOT_BOUND", channel.token(path)),
        ("TOKEN_EXPIRED", channel.token(path, [body], iat=past, exp=past + 100)),
        ("TOKEN_AUDIENCE_WRONG", channel.token(path, [body], aud="another.example")),
        ("TOKEN_CERTIFICATE_NOT_BOUND", channel.token(path, [body], cnf={"x5t#S256": day.hebei.identity.certificate_hash})),
    ]:
        try:
            channel.send(AUTHORISE, body, token)
            raise AssertionError(f"accepted, not refused with {reason}")
        except Refused as refused:
            assert refused.reason == reason, (reason, refused)


def certificate_alone(day):
    """No token: is it serving, and what does it serve?"""
    health = day.hebei.send_raw("/grpc.health.v1.Health/Check", b"")
    assert dict(fields(health)) == {1: 1}, "SERVING"
    # ServerReflectionRequest { list_services: "*" }, a bidirectional stream.
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    ask = day.hebei.channel.stream_stream(path, request_serializer=bytes, response_deserializer=bytes)
    answer = next(iter(ask(iter([b"\x3a\x01*"]), timeout=10)))
    services = [dict(fields(service))[1].decode() for _, service in fields(dict(fields(answer))[6])]
    assert {service.full_name for service in day.api.services} <= set(services), services
