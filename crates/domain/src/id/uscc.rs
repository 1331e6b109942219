//! 统一社会信用代码, GB 32100-2015.

use std::str::FromStr;

use super::{DivisionCode, NotAnId, public_id};

/// A unified social credit code (GB 32100-2015): registering authority, class,
/// six digits of division, nine characters of organisation code (GB 11714, with its own
/// check character), one check character. Upper case only, without I, O, S, V, Z.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uscc(String);

public_id!(Uscc);

const STANDARD: &str = "GB 32100-2015";
const ORGANISATION_STANDARD: &str = "GB 11714-1997";
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const ORGANISATION_WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];

impl Uscc {
    /// The registering authority: `1` 机构编制, `5` 民政, `9` 工商 (GB 32100-2015, 登记管理部门代码).
    pub fn registrar(&self) -> char {
        char::from(self.0.as_bytes()[0])
    }

    /// The class within the authority: `52` is a private non-enterprise unit, `12` a public
    /// institution, `91` a company, taken together with [`Self::registrar`].
    pub fn class(&self) -> char {
        char::from(self.0.as_bytes()[1])
    }

    /// The division of the registering authority, which need not be where the institution stands.
    pub fn division(&self) -> DivisionCode {
        self.0[2..8].parse().expect("checked when parsed")
    }

    /// The organisation code, eight characters and its check character (GB 11714).
    pub fn organisation_code(&self) -> &str {
        &self.0[8..17]
    }
}

impl FromStr for Uscc {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 18 || !text.bytes().all(|b| ALPHABET.contains(&b)) {
            return Err(NotAnId::Form("18 digits and capitals without I, O, S, V, Z"));
        }
        text[2..8].parse::<DivisionCode>().map_err(|_| NotAnId::Form("a division code at characters 3 to 8"))?;
        if organisation_check(&text[8..16]) != text.as_bytes()[16] {
            return Err(NotAnId::CheckDigit(ORGANISATION_STANDARD));
        }
        if check_character(&text[..17]) != text.as_bytes()[17] {
            return Err(NotAnId::CheckDigit(STANDARD));
        }
        Ok(Self(text.to_owned()))
    }
}

/// GB 11714-1997, check character: digits count as themselves, A to Z as 10 to 35; modulus 11.
fn organisation_check(code: &str) -> u8 {
    let value = |b: u8| if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b - b'A') + 10 };
    let sum: u32 = code.bytes().zip(ORGANISATION_WEIGHTS).map(|(b, weight)| value(b) * weight).sum();
    match 11 - sum % 11 {
        10 => b'X',
        11 => b'0',
        digit => b'0' + digit as u8,
    }
}

/// GB 32100-2015, check character: weights are powers of 3 modulo 31.
fn check_character(code: &str) -> u8 {
    let value = |b: u8| ALPHABET.iter().position(|a| *a == b).expect("checked against the alphabet");
    let (sum, _) = code.bytes().fold((0, 1), |(sum, weight), b| (sum + value(b) * weight, weight * 3 % 31));
    ALPHABET[(31 - sum % 31) % 31]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: [&str; 5] =
        ["52110108XXXX00019Q", "12110105XXXX00027C", "91120116XXXX000354", "52131082XXXX00043X", "91130606XXXX000518"];

    #[test]
    fn the_vectors_parse_and_say_what_they_hold() {
        for (text, registrar, class, division, organisation) in [
            (VALID[0], '5', '2', "110108", "XXXX00019"),
            (VALID[1], '1', '2', "110105", "XXXX00027"),
            (VALID[2], '9', '1', "120116", "XXXX00035"),
            (VALID[3], '5', '2', "131082", "XXXX00043"),
            (VALID[4], '9', '1', "130606", "XXXX00051"),
        ] {
            let code: Uscc = text.parse().unwrap();
            assert_eq!(code.to_string(), text);
            assert_eq!((code.registrar(), code.class()), (registrar, class));
            assert_eq!(code.division().to_string(), division);
            assert_eq!(code.organisation_code(), organisation);
        }
    }

    #[test]
    fn refused() {
        use NotAnId::{CheckDigit, Form};
        let shape = Form("18 digits and capitals without I, O, S, V, Z");
        for (text, fault) in [
            ("52110108XXXX00019R", CheckDigit(STANDARD)),
            ("51110108XXXX00019Q", CheckDigit(STANDARD)),
            ("52110108XXXX00018Q", CheckDigit(ORGANISATION_STANDARD)),
            ("52110108XXXX00119Q", CheckDigit(ORGANISATION_STANDARD)),
            ("52110108xxxx00019q", shape),
            ("52110108XXXX00019", shape),
            ("52110108XXXX00019QQ", shape),
            ("52110108XXIX00019Q", shape),
            ("52110108XXXX-0019Q", shape),
            ("统一社会信用", shape), // 18 bytes
            ("5211010AXXXX00019Q", Form("a division code at characters 3 to 8")),
        ] {
            assert_eq!(text.parse::<Uscc>().unwrap_err(), fault, "{text}");
        }
    }

    proptest! {
        /// GB 32100's check character catches every single wrong character.
        #[test]
        fn one_changed_character_is_caught(
            pick in 0..VALID.len(),
            at in 0..18usize,
            new in "[0-9A-HJ-NP-RTUWXY]",
        ) {
            let mut text = VALID[pick].to_owned();
            prop_assume!(text[at..=at] != new);
            text.replace_range(at..=at, &new);
            prop_assert!(text.parse::<Uscc>().is_err());
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Uscc>();
        }
    }
}
