//! Mobile telephone numbers of the mainland.

use std::str::FromStr;

use super::{NotAnId, personal_id};

/// A mainland mobile number without country code: `^1[3-9][0-9]{9}$`. There is no range
/// reserved for fiction, so tests and demonstrations must not be dialled.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MobileNumber(String);

personal_id!(MobileNumber);

impl FromStr for MobileNumber {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match text.as_bytes() {
            [b'1', b'3'..=b'9', rest @ ..] if rest.len() == 9 && rest.iter().all(u8::is_ascii_digit) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NotAnId::Form("11 digits from 13000000000 to 19999999999")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        for text in ["13000000000", "19999999999", "15012345678"] {
            assert_eq!(text.parse::<MobileNumber>().unwrap().expose(), text);
        }
        for text in ["", "12999999999", "20000000000", "1300000000", "130000000000", "+8613000000000", "1300000000a"] {
            assert!(text.parse::<MobileNumber>().is_err(), "{text}");
        }
    }
}
