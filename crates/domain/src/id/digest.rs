//! Digests of documents and messages.

use std::fmt;
use std::str::FromStr;

use super::{NotAnId, parses_field};
use crate::text_column;

/// 32 bytes of SHA-256 (FIPS 180-4) or SM3 (GB/T 32905-2016), written as 64 lower-case
/// hexadecimal digits. Which of the two it is, the record says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fault = NotAnId::Form("64 lower-case hexadecimal digits");
        // One spelling only, or one digest could be two.
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(fault);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| fault)?;
        Ok(Self(bytes))
    }
}

parses_field!(Digest);
text_column!(Digest);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Column, Value};

    // SM3 of "abc" (GB/T 32905-2016 annex A.1).
    const ABC: &str = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";

    #[test]
    fn parses_prints_and_is_stored() {
        let digest: Digest = ABC.parse().unwrap();
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
        assert_eq!(digest.to_value(), Value::Text(ABC.into()));
        assert_eq!(Digest::from_value(digest.to_value()), Ok(digest));
    }

    #[test]
    fn refused() {
        for text in ["", &ABC[1..], &ABC.to_uppercase(), &format!("{ABC}00"), &ABC.replace('6', "g")] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
