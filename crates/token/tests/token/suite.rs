use jjj_token::{Algorithm, Jwk, KeyError, SigningKey, VerifyingKey};

use crate::support::{base64url, ed25519, p256};

fn jwk(json: &str) -> Jwk {
    Jwk::from_json(json.as_bytes()).unwrap()
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// RFC 8037 Appendix A: public key, thumbprint, signature.
#[test]
fn rfc_8037_ed25519() {
    let key = ed25519();
    assert_eq!(key.public_jwk().x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvp\
                     Ar_MuM0KAg";
    assert_eq!(base64url(key.sign(input).unwrap()), signature);
    key.verifying_key().verify(input, &decode(signature)).unwrap();
}

/// RFC 7515 Appendix A.3.
#[test]
fn rfc_7515_es256() {
    let key = jwk(r#"{"kty":"EC","crv":"P-256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#);
    let key = VerifyingKey::from_jwk(&key).unwrap();
    assert_eq!(key.algorithm(), Algorithm::Es256);
    let input = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
                  Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let mut signature =
        decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    key.verify(input, &signature).unwrap();
    signature[63] ^= 1;
    assert!(key.verify(input, &signature).is_err());
}

/// RFC 7638 §3.1 spells the computation out for RSA; another implementation does it for ours.
#[test]
fn thumbprints_agree_with_jsonwebtoken() {
    for key in [ed25519(), p256()] {
        let foreign: jsonwebtoken::jwk::Jwk = serde_json::from_str(&key.public_jwk().to_json()).unwrap();
        let thumbprint = foreign.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256);
        assert_eq!(thumbprint.unwrap(), key.kid());
    }
}

#[test]
fn generated_keys_survive_pem_and_sign() {
    for algorithm in Algorithm::ALL {
        let pem = SigningKey::generate_pkcs8_pem(algorithm).unwrap();
        assert!(pem.lines().all(|line| line.len() <= 64));
        let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let again = VerifyingKey::from_jwk(&Jwk::from_json(key.public_jwk().to_json().as_bytes()).unwrap());
        let again = again.unwrap();
        assert_eq!(again.kid(), key.kid());
        let signature = key.sign(b"message").unwrap();
        again.verify(b"message", &signature).unwrap();
        assert!(again.verify(b"massage", &signature).is_err());
        assert!(again.verify(b"message", &signature[..63]).is_err());
        assert!(again.verify(b"message", &[&signature[..], &[0]].concat()).is_err());
        assert!(again.verify(b"message", &[]).is_err());
    }
}

#[test]
fn openssl_keys_are_read() {
    assert_eq!(p256().algorithm(), Algorithm::Es256);
    let key = SigningKey::from_pkcs8_pem(include_str!("keys/ed25519.pem")).unwrap();
    assert_eq!(key.algorithm(), Algorithm::EdDsa);
}

#[test]
fn private_keys_refused() {
    let refused = |pem: &str| SigningKey::from_pkcs8_pem(pem).unwrap_err();
    assert_eq!(refused(include_str!("keys/p384.pem")), KeyError::PrivateKey);
    assert_eq!(refused(""), KeyError::Pem);
    assert_eq!(refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), KeyError::PrivateKey);
    let encrypted = include_str!("keys/p256.pem").replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(refused(&encrypted), KeyError::Pem);
}

#[test]
fn debug_shows_no_secret() {
    let key = ed25519();
    let shown = format!("{key:?}");
    assert!(shown.contains("[redacted]") && shown.contains(key.kid()), "{shown}");
    assert!(!shown.contains("9d61b1") && !shown.contains("nWGxne"), "{shown}");
}

#[test]
fn jwks_are_read_strictly() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
    assert!(Jwk::from_json(good.as_bytes()).is_ok());
    let malformed = [
        good.replace("\"x\"", "\"kid\":\"a\",\"x\""),
        good.replace("\"x\"", "\"d\":\"a\",\"x\""),
        good.replace("\"x\"", "\"kty\":\"OKP\",\"x\""),
        format!("{good}{good}"),
        format!("[{good}]"),
        format!(r#"["OKP","Ed25519","{x}"]"#),
        good.replace("\"OKP\"", "1"),
        String::new(),
    ];
    for json in malformed {
        assert_eq!(Jwk::from_json(json.as_bytes()), Err(KeyError::JwkMalformed), "{json}");
    }
}

#[test]
fn keys_refused() {
    let p256_x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let p256_y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    let ed = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let key = |kty: &str, crv: &str, x: &str, y: Option<&str>| Jwk {
        kty: kty.into(),
        crv: crv.into(),
        x: x.into(),
        y: y.map(Into::into),
    };
    let table = [
        (key("RSA", "P-256", p256_x, None), "KEY_UNSUPPORTED"),
        (key("OKP", "X25519", ed, None), "KEY_UNSUPPORTED"),
        (key("EC", "P-384", p256_x, Some(p256_y)), "KEY_UNSUPPORTED"),
        (key("EC", "Ed25519", ed, None), "KEY_UNSUPPORTED"),
        (key("OKP", "Ed25519", ed, Some(ed)), "KEY_COORDINATE_MALFORMED"),
        (key("OKP", "Ed25519", &format!("{ed}="), None), "KEY_COORDINATE_MALFORMED"),
        (key("OKP", "Ed25519", &ed[..42], None), "KEY_COORDINATE_MALFORMED"),
        // The same 32 bytes, with stray bits in the last character.
        (key("OKP", "Ed25519", &ed.replace("URo", "URp"), None), "KEY_COORDINATE_MALFORMED"),
        (key("EC", "P-256", p256_x, None), "KEY_COORDINATE_MALFORMED"),
        (key("EC", "P-256", p256_x, Some(p256_x)), "KEY_NOT_ON_CURVE"),
        (key("EC", "P-256", &base64url([0; 32]), Some(&base64url([0; 32]))), "KEY_NOT_ON_CURVE"),
    ];
    for (jwk, reason) in table {
        assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap_err().reason(), reason, "{jwk:?}");
    }
}

/// The small-order points, in every encoding that a lenient decoder would take.
#[test]
fn weak_ed25519_keys_refused() {
    let mut weak = vec![
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let mut refused = 0;
    while let Some(digits) = weak.pop() {
        let mut point = hex::decode(digits).unwrap();
        for sign in [0, 0x80] {
            point[31] = point[31] & 0x7f | sign;
            let jwk = Jwk { kty: "OKP".into(), crv: "Ed25519".into(), x: base64url(&point), y: None };
            assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap_err(), KeyError::WeakPoint, "{digits}");
            refused += 1;
        }
    }
    assert_eq!(refused, 16);
}

/// An Ed25519 signature whose S has the group's order added verifies nowhere (RFC 8032 §5.1.7).
#[test]
fn malleable_ed25519_signature_refused() {
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let key = ed25519();
    let mut signature = key.sign(b"message").unwrap();
    key.verifying_key().verify(b"message", &signature).unwrap();
    let mut carry = 0u16;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    assert!(key.verifying_key().verify(b"message", &signature).is_err());
}
