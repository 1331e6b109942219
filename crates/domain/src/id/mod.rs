//! Identifiers of people, institutions, places, cards and documents. Each parses
//! itself, once, at the edge; a value of these types is well-formed.
//!
//! Personal ones (resident ID, mobile, cards) have no `Display`, no serde and no
//! column: they print as `ResidentId(…)` and are read only through `expose()`,
//! so that they reach a log, a token or an error by nobody's oversight.

mod card;
mod digest;
mod division;
mod mobile;
mod order_id;
mod resident_id;
mod senior_card;
mod social_security_card;
mod uscc;

pub use card::CardNumber;
pub use digest::Digest;
pub use division::{DivisionCode, DivisionLevel};
pub use mobile::MobileNumber;
pub use order_id::OrderId;
pub use resident_id::{ResidentId, Sex};
pub use senior_card::SeniorCardNumber;
pub use social_security_card::SocialSecurityCardNumber;
pub use uscc::Uscc;

use std::str::FromStr;

use crate::rejection::{Reason, Rejection};

/// Why a text is no identifier of its kind. It never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnId {
    #[error("expected {0}")]
    Form(&'static str),
    #[error("wrong check digit ({0})")]
    CheckDigit(&'static str),
}

impl NotAnId {
    /// The refusal of a request whose field holds such a text.
    pub fn in_field(self, field: &str) -> Rejection {
        match self {
            Self::Form(expected) => Reason::FieldMalformed.field(field).var("expected", expected),
            Self::CheckDigit(standard) => Reason::ChecksumWrong.field(field).var("standard", standard),
        }
    }
}

fn parse_field<T: FromStr<Err = NotAnId>>(field: &str, text: &str) -> Result<T, Rejection> {
    if text.is_empty() {
        return Err(Reason::FieldMissing.field(field));
    }
    text.parse().map_err(|fault: NotAnId| fault.in_field(field))
}

/// What every identifier has: a constructor that refuses by field.
macro_rules! parses_field {
    ($T:ident) => {
        impl $T {
            /// Parses a request's field: `FIELD_MISSING`, `FIELD_MALFORMED` or `CHECKSUM_WRONG`.
            pub fn parse_field(field: &str, text: &str) -> Result<Self, $crate::rejection::Rejection> {
                $crate::id::parse_field(field, text)
            }
        }
    };
}

/// An identifier over a text that anyone may see.
macro_rules! public_id {
    ($T:ident) => {
        $crate::id::parses_field!($T);
        impl $T {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $T {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        $crate::text_column!($T);
    };
}

/// An identifier over a text that names a living person.
macro_rules! personal_id {
    ($T:ident) => {
        $crate::id::parses_field!($T);
        impl $T {
            /// The bare text, in its one spelling. Only for sealing, keyed hashing and
            /// an audited answer.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Debug for $T {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($T), "(…)"))
            }
        }
    };
}

use {parses_field, personal_id, public_id};

/// ASCII letters and digits only, of a length within the range.
fn is_alphanumeric(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_field_reason_and_variable() {
        let missing = ResidentId::parse_field("resident_id", "").unwrap_err();
        assert_eq!((missing.reason, missing.field.as_deref()), (Reason::FieldMissing, Some("resident_id")));

        let form = MobileNumber::parse_field("mobile", "123").unwrap_err();
        assert_eq!((form.reason, form.field.as_deref()), (Reason::FieldMalformed, Some("mobile")));
        assert!(form.message_en().starts_with("mobile is malformed: expected 11 digits"), "{form}");

        let check = ResidentId::parse_field("resident_id", "110108188001010017").unwrap_err();
        assert_eq!((check.reason, check.field.as_deref()), (Reason::ChecksumWrong, Some("resident_id")));
        assert_eq!(check.message_en(), "resident_id has a wrong check digit (GB 11643-1999)");
    }

    #[test]
    fn personal_identifiers_do_not_print_themselves() {
        let printed = [
            (format!("{:?}", "110108188001010016".parse::<ResidentId>()), "110108"),
            (format!("{:?}", "13900000000".parse::<MobileNumber>()), "1390"),
            (format!("{:?}", "6200000000000000000".parse::<CardNumber>()), "6200"),
            (format!("{:?}", "A12345678".parse::<SocialSecurityCardNumber>()), "A123"),
            (format!("{:?}", "BJ0000012345".parse::<SeniorCardNumber>()), "BJ00"),
            // Nor does what is refused.
            (format!("{:?}", ResidentId::parse_field("f", "110108188001010017")), "110108"),
            (format!("{:?}", MobileNumber::parse_field("f", "23900000000")), "2390"),
        ];
        for (text, secret) in printed {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
