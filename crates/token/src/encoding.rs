//! Text forms of bytes. Decoding is canonical: no padding, no stray bits, no other alphabet, so
//! that one value has one text.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::merkle::Hash;

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Standard alphabet with padding, as C2SP notes use it.
pub(crate) fn base64_std(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64_std(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn hash_from_base64url(text: &str) -> Option<Hash> {
    from_base64url(text)?.try_into().ok()
}

/// serde: a hash as base64url without padding (claims of tokens).
pub(crate) mod base64url_hash {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::merkle::Hash;

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::base64url(hash))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::hash_from_base64url(&text).ok_or_else(|| D::Error::custom("not a base64url SHA-256"))
    }
}

/// serde: an optional hash as base64url. Absent is `None`; `null` is refused.
pub(crate) mod base64url_optional_hash {
    use serde::{Deserializer, Serializer};

    use crate::merkle::Hash;

    pub fn serialize<S: Serializer>(hash: &Option<Hash>, serializer: S) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => super::base64url_hash::serialize(hash, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hash>, D::Error> {
        super::base64url_hash::deserialize(deserializer).map(Some)
    }
}

/// serde: a hash as 64 lower-case hexadecimal digits (receipts).
pub(crate) mod hex_hash {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::merkle::Hash;

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        parse(&String::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("not 64 lower-case hexadecimal digits"))
    }

    pub(super) fn parse(text: &str) -> Option<Hash> {
        let hash: Hash = hex::decode(text).ok()?.try_into().ok()?;
        (hex::encode(hash) == text).then_some(hash)
    }
}

/// serde: a list of hashes, each as in [`hex_hash`].
pub(crate) mod hex_hashes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::merkle::Hash;

    pub fn serialize<S: Serializer>(hashes: &[Hash], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(hashes.iter().map(hex::encode))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| super::hex_hash::parse(text))
            .collect::<Option<_>>()
            .ok_or_else(|| D::Error::custom("not 64 lower-case hexadecimal digits"))
    }
}

/// serde: bytes as base64url without padding (signatures).
pub(crate) mod base64url_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::base64url(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::from_base64url(&text).ok_or_else(|| D::Error::custom("not base64url"))
    }
}

/// serde: a 64-bit integer as a decimal string, which every JSON reader keeps exact.
pub(crate) mod decimal_i64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = text.parse::<i64>().map_err(D::Error::custom)?;
        if value.to_string() == text { Ok(value) } else { Err(D::Error::custom("not a canonical decimal integer")) }
    }
}
