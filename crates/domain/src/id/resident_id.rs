//! 公民身份号码, GB 11643-1999.

use std::str::FromStr;

use super::{DivisionCode, NotAnId, personal_id};
use crate::text_enum;
use crate::time::Date;

/// A citizen's resident ID number (GB 11643-1999, 号码的结构): six digits of division, eight of
/// birth date, three of sequence, one check character. A lower-case `x` is read as `X`.
///
/// The division is that of the year of issue; old codes stay on cards, so none is refused.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResidentId(String);

personal_id!(ResidentId);

text_enum! {
    /// Sex as the resident ID's sequence number says (GB 11643-1999, 顺序码: odd is male).
    pub enum Sex {
        Male = "MALE",
        Female = "FEMALE",
    }
}

const STANDARD: &str = "GB 11643-1999";
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK: &[u8; 11] = b"10X98765432";

impl ResidentId {
    /// The division at the time of issue.
    pub fn division(&self) -> DivisionCode {
        self.0[..6].parse().expect("checked when parsed")
    }

    pub fn birth_date(&self) -> Date {
        birth_date(&self.0).expect("checked when parsed")
    }

    pub fn sex(&self) -> Sex {
        if self.0.as_bytes()[16] % 2 == 1 { Sex::Male } else { Sex::Female }
    }
}

impl FromStr for ResidentId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let text = text.to_ascii_uppercase();
        let digits_then_check = text.len() == 18
            && text.bytes().take(17).all(|b| b.is_ascii_digit())
            && text.bytes().skip(17).all(|b| b.is_ascii_digit() || b == b'X');
        if !digits_then_check {
            return Err(NotAnId::Form("17 digits and a check character 0-9 or X"));
        }
        text[..6].parse::<DivisionCode>().map_err(|_| NotAnId::Form("a division code at digits 1 to 6"))?;
        birth_date(&text).ok_or(NotAnId::Form("a calendar date at digits 7 to 14"))?;
        if check_character(&text) != text.as_bytes()[17] {
            return Err(NotAnId::CheckDigit(STANDARD));
        }
        Ok(Self(text))
    }
}

fn birth_date(text: &str) -> Option<Date> {
    format!("{}-{}-{}", &text[6..10], &text[10..12], &text[12..14]).parse().ok()
}

/// ISO 7064 MOD 11-2 over the first 17 digits (GB 11643-1999, 校验码).
fn check_character(text: &str) -> u8 {
    let sum: u32 = text.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    CHECK[(sum % 11) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: [&str; 7] = [
        "11010519491231002X",
        "440524188001010014",
        "110108188001010016",
        "120116188001010026",
        "131082188001010019",
        "130606188001010022",
        "131024188001010031",
    ];

    #[test]
    fn the_vectors_parse_and_say_what_they_hold() {
        for text in VALID {
            assert_eq!(text.parse::<ResidentId>().unwrap().expose(), text);
        }
        for (text, division, birth, sex) in [
            ("11010519491231002X", "110105", "1949-12-31", Sex::Female),
            ("440524188001010014", "440524", "1880-01-01", Sex::Male),
            ("131024188001010031", "131024", "1880-01-01", Sex::Male),
            ("130606188001010022", "130606", "1880-01-01", Sex::Female),
        ] {
            let id: ResidentId = text.parse().unwrap();
            assert_eq!(id.division().to_string(), division);
            assert_eq!(id.birth_date().to_string(), birth);
            assert_eq!(id.sex(), sex, "{text}");
        }
    }

    #[test]
    fn a_lower_case_x_is_the_same_number() {
        let lower: ResidentId = "11010519491231002x".parse().unwrap();
        assert_eq!(lower, "11010519491231002X".parse().unwrap());
        assert_eq!(lower.expose(), "11010519491231002X");
    }

    #[test]
    fn refused() {
        use NotAnId::{CheckDigit, Form};
        let shape = Form("17 digits and a check character 0-9 or X");
        let date = Form("a calendar date at digits 7 to 14");
        for (text, fault) in [
            ("110108188001010017", CheckDigit(STANDARD)),
            ("110105194912310020", CheckDigit(STANDARD)),
            ("", shape),
            ("11010519491231002", shape),
            ("11010519491231002X0", shape),
            ("1101051949123100X2", shape),
            ("11010519491231002Y", shape),
            (" 1010519491231002X", shape),
            ("１1010519491231002", shape), // a full-width digit, 19 bytes
            ("一一一一一一", shape),       // 18 bytes
            ("110105491231002", shape),    // the 15-digit form of 1984
            ("110105194902290021", date),
            ("110105190013010021", date),
            ("110105000001010021", date),
            ("010105194912310021", Form("a division code at digits 1 to 6")),
        ] {
            assert_eq!(text.parse::<ResidentId>().unwrap_err(), fault, "{text}");
        }
    }

    proptest! {
        /// GB 11643's check character catches every single wrong character.
        #[test]
        fn one_changed_character_is_caught(pick in 0..VALID.len(), at in 0..18usize, new in "[0-9X]") {
            let mut text = VALID[pick].to_owned();
            prop_assume!(text[at..=at] != new);
            text.replace_range(at..=at, &new);
            prop_assert!(text.parse::<ResidentId>().is_err());
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<ResidentId>();
        }
    }
}
