//! Fixed keys, and tokens made by hand.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jjj_token::{Hash, SigningKey};

/// The key of RFC 8037 Appendix A.1.
pub fn ed25519() -> SigningKey {
    let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    SigningKey::from_ed25519_seed(&seed.unwrap().try_into().unwrap()).unwrap()
}

/// Made by `openssl genpkey`.
pub fn p256() -> SigningKey {
    SigningKey::from_pkcs8_pem(include_str!("keys/p256.pem")).unwrap()
}

/// Made by `openssl genpkey -algorithm SM2`.
pub fn sm2() -> SigningKey {
    SigningKey::from_pkcs8_pem(include_str!("keys/sm2.pem")).unwrap()
}

/// One key of each algorithm.
pub fn keys() -> [SigningKey; 3] {
    [ed25519(), p256(), sm2()]
}

/// Another Ed25519 key than [`ed25519`].
pub fn stranger() -> SigningKey {
    SigningKey::from_ed25519_seed(&[7; 32]).unwrap()
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A token with any header and payload, rightly signed.
pub fn forge(key: &SigningKey, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", base64url(header), base64url(claims));
    let signature = key.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", base64url(signature))
}

pub fn hash(hex_digits: &str) -> Hash {
    hex::decode(hex_digits).unwrap().try_into().unwrap()
}
