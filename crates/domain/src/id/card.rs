//! UnionPay card numbers.

use std::str::FromStr;

use super::{NotAnId, personal_id};

/// A UnionPay card number: 16 to 19 digits that begin with 62.
///
/// The last digit should satisfy Luhn's formula (ISO/IEC 7812-1 annex B); old cards may not,
/// so [`Self::luhn_ok`] is for a warning, never for a refusal. Only a token and the last
/// four digits are kept in the open.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CardNumber(String);

personal_id!(CardNumber);

impl CardNumber {
    pub fn luhn_ok(&self) -> bool {
        let sum: u32 = self.0.bytes().rev().enumerate().map(|(at, b)| luhn_value(at, u32::from(b - b'0'))).sum();
        sum.is_multiple_of(10)
    }

    /// The last four digits, which may be shown.
    pub fn last4(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

/// Every second digit from the right counts double, by the sum of its digits.
fn luhn_value(at: usize, digit: u32) -> u32 {
    match (at % 2, digit) {
        (0, digit) => digit,
        (_, 0..=4) => digit * 2,
        _ => digit * 2 - 9,
    }
}

impl FromStr for CardNumber {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let ok = (16..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && text.starts_with("62");
        if ok { Ok(Self(text.to_owned())) } else { Err(NotAnId::Form("16 to 19 digits beginning with 62")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_warns_and_never_refuses() {
        for (text, ok) in [
            ("6200000000000000000", true),
            ("6210000000000000017", true),
            ("6220000000000000024", true),
            ("6216261000000000018", true),
            ("6216261000000000019", false),
            ("6210000000000000071", false),
        ] {
            let card: CardNumber = text.parse().unwrap();
            assert_eq!(card.luhn_ok(), ok, "{text}");
            assert_eq!(card.last4(), &text[15..]);
        }
        assert_eq!("6200000000000018".parse::<CardNumber>().unwrap().last4(), "0018");
    }

    #[test]
    fn refused() {
        for text in ["", "620000000000000", "62000000000000000000", "4200000000000000000", "62000000000000 0"] {
            assert!(text.parse::<CardNumber>().is_err(), "{text}");
        }
    }
}
