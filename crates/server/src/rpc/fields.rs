//! Fields that services read themselves, beside `jjj_wire::parse`, which reads whole requests.
//! Every function names the field in its refusal.

use jjj_domain::names::{Collection, Name, Participant, RequestId};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::time::Date;
use jjj_token::{Jwk, VerifyingKey};
use jjj_wire::enums::{EnumText, enum_text};
use jjj_wire::parse;

pub use jjj_wire::parse::{choice as enumerated, date, month, parsed as parse};

/// The longest public key that is read, in bytes.
const MAX_JWK_LEN: usize = 1_000;

/// A text that must be there.
pub fn required<'a>(field: &str, text: &'a str) -> Result<&'a str, Rejection> {
    if text.is_empty() { Err(Reason::FieldMissing.field(field)) } else { Ok(text) }
}

/// A text for people, of at most so many characters; may be empty.
pub fn text(field: &str, text: &str, limit: usize) -> Result<String, Rejection> {
    if text.chars().count() > limit {
        return Err(Reason::FieldTooLong.field(field).var("limit", limit));
    }
    parse::text(field, text)
}

/// As [`text`], and must be there.
pub fn required_text(field: &str, value: &str, limit: usize) -> Result<String, Rejection> {
    text(field, required(field, value)?, limit)
}

/// `YYYY-MM-DD`, or empty for `None`.
pub fn optional_date(field: &str, text: &str) -> Result<Option<Date>, Rejection> {
    parse::optional(text, |text| date(field, text))
}

/// The stored text of an enum value; unspecified and unknown ones are refused.
pub fn enum_str<E: EnumText>(field: &str, value: i32) -> Result<&'static str, Rejection> {
    enum_text::<E>(value).ok_or_else(|| Reason::EnumUnspecified.field(field))
}

/// A resource name of one of these collections.
pub fn name(field: &str, text: &str, allowed: &[Collection]) -> Result<Name, Rejection> {
    Name::parse_field(field, text, allowed)
}

pub fn participant(field: &str, text: &str) -> Result<Participant, Rejection> {
    parse(field, text, "regions/{6 digits} | channels/{id}")
}

pub fn request_id(text: &str) -> Result<RequestId, Rejection> {
    parse("request_id", text, "a UUIDv7 in lower case with hyphens")
}

/// A public key, as JSON Web Key.
pub fn key(field: &str, jwk: &str) -> Result<VerifyingKey, Rejection> {
    if jwk.len() > MAX_JWK_LEN {
        return Err(Reason::FieldTooLong.field(field).var("limit", MAX_JWK_LEN));
    }
    Jwk::from_json(jwk.as_bytes())
        .and_then(|jwk| VerifyingKey::from_jwk(&jwk))
        .map_err(|error| malformed(field, &format!("a public key OKP/Ed25519 or EC/P-256 as JSON Web Key ({error})")))
}

/// An integer within bounds, both inclusive.
pub fn in_range(field: &str, value: i64, min: i64, max: i64) -> Result<i64, Rejection> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(Reason::FieldOutOfRange.field(field).var("range", format!("{min}..{max}")))
    }
}

/// A repeated field of at most so many items.
pub fn at_most<'a, T>(field: &str, items: &'a [T], limit: usize) -> Result<&'a [T], Rejection> {
    if items.len() > limit { Err(Reason::FieldTooLong.field(field).var("limit", limit)) } else { Ok(items) }
}

pub fn malformed(field: &str, expected: &str) -> Rejection {
    Reason::FieldMalformed.field(field).var("expected", expected)
}
