//! Senior and disability card numbers.

use std::str::FromStr;

use super::{NotAnId, is_alphanumeric, personal_id};

/// The number of a 北京通-养老助残卡. No public text gives its form, so it is a bounded one [D]:
/// 6 to 32 letters and digits, letters stored in upper case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SeniorCardNumber(String);

personal_id!(SeniorCardNumber);

impl FromStr for SeniorCardNumber {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if is_alphanumeric(text, 6..=32) {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(NotAnId::Form("6 to 32 letters and digits"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        assert_eq!("bj0000012345".parse::<SeniorCardNumber>().unwrap().expose(), "BJ0000012345");
        for text in ["", "12345", "1234-567", &"1".repeat(33), "养老助残"] {
            assert!(text.parse::<SeniorCardNumber>().is_err(), "{text}");
        }
    }
}
