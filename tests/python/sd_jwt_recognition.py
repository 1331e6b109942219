"""Checks the gateway's SD-JWT of a recognition, whole, with nothing disclosed, and bound by a holder's key, with
sd-jwt; and issues and presents the same itself, to be checked by the gateway's own code.

Usage: sd_jwt_recognition.py FOLDER: reads sd.json; writes foreign_sd.json.
"""

import json
import pathlib
import sys

from jwcrypto.jwk import JWK
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

folder = pathlib.Path(sys.argv[1])
given = json.loads((folder / "sd.json").read_text())


def verified(text, jwk, **expected):
    return SDJWTVerifier(text, lambda issuer, header: JWK(**jwk), **expected).get_verified_payload()


def refused(text, **expected):
    try:
        verified(text, given["jwk"], **expected)
    except Exception:
        return True
    return False


asked = {"expected_aud": given["aud"], "expected_nonce": given["nonce"]}
whole = verified(given["issued"], given["jwk"])
assert whole["rec"]["scores"] == {"self_care": 12, "mobility": 7, "mental_state": 9, "perception_social": 3}, whole
little = verified(given["nothing"], given["jwk"])
assert little["rec"]["recognized"] == "3" and little["rec"]["scores"] == {} and "subject" not in little["rec"], little
# This library takes holders' keys of ES256 only.
if given["holder"] == "ES256":
    bound = verified(given["bound"], given["jwk"], **asked)
    assert bound["rec"]["subject"] == whole["rec"]["subject"], bound
    assert refused(given["bound"], expected_aud=given["aud"], expected_nonce="another")
assert refused(given["issued"].replace(".", "x.", 1))

made = []
for alg, key in (
    ("EdDSA", JWK.generate(kty="OKP", crv="Ed25519")),
    ("ES256", JWK.generate(kty="EC", crv="P-256")),
):
    holder = JWK.generate(kty="EC", crv="P-256")
    claims = {name: value for name, value in whole.items() if name not in ("rec", "cnf")}
    scores = {SDObj(name): score for name, score in whole["rec"]["scores"].items()}
    rec = {name: value for name, value in whole["rec"].items() if name not in ("subject", "scores")}
    claims["rec"] = {**rec, SDObj("subject"): whole["rec"]["subject"], "scores": scores}
    header = {"typ": "jjj-recognition+sd-jwt", "kid": key.thumbprint()}
    issuer = SDJWTIssuer(claims, key, holder, sign_alg=alg, extra_header_parameters=header)
    issued = issuer.sd_jwt_issuance
    presenting = SDJWTHolder(issued)
    shown = {"rec": {"scores": {"mobility": True}}}
    presenting.create_presentation(shown, given["nonce"], given["aud"], holder, sign_alg="ES256")
    jwk = key.export_public(as_dict=True)
    presented = presenting.sd_jwt_presentation
    made.append({"jwk": jwk, "issued": issued, "presented": presented})
(folder / "foreign_sd.json").write_text(json.dumps(made))
