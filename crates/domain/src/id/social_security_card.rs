//! Social security card numbers.

use std::str::FromStr;

use super::{NotAnId, is_alphanumeric, personal_id};

/// The number printed on a social security card (社会保障卡卡号): nine letters and digits
/// (DOMAIN.md §6 [M]). Letters are stored in upper case, so that look-up knows one spelling [D].
///
/// Not the social security number, which is the resident ID.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SocialSecurityCardNumber(String);

personal_id!(SocialSecurityCardNumber);

impl FromStr for SocialSecurityCardNumber {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if is_alphanumeric(text, 9..=9) {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(NotAnId::Form("nine letters and digits"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        assert_eq!("a12345678".parse::<SocialSecurityCardNumber>().unwrap().expose(), "A12345678");
        for text in ["", "A1234567", "A123456789", "A1234-678", "卡卡卡"] {
            assert!(text.parse::<SocialSecurityCardNumber>().is_err(), "{text}");
        }
    }
}
