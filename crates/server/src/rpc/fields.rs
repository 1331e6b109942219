//! Request fields into domain types. Every function names the field in its refusal.

use std::str::FromStr;

use jjj_domain::names::{Collection, Name, Participant, RequestId};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::time::{Date, Month};
use jjj_wire::enums::{EnumText, enum_text};

/// The largest amount of one request, in fen: ten billion yuan.
pub const MAX_AMOUNT_FEN: i64 = 1_000_000_000_000;

/// A text that must be there.
pub fn required<'a>(field: &str, text: &'a str) -> Result<&'a str, Rejection> {
    if text.is_empty() { Err(Reason::FieldMissing.field(field)) } else { Ok(text) }
}

/// A text of at most so many characters, without control characters but line breaks and tabs; may be empty.
pub fn text(field: &str, text: &str, limit: usize) -> Result<String, Rejection> {
    if text.chars().count() > limit {
        return Err(Reason::FieldTooLong.field(field).var("limit", limit));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(malformed(field, "text without control characters"));
    }
    Ok(text.to_owned())
}

/// As [`text`], and must be there.
pub fn required_text(field: &str, value: &str, limit: usize) -> Result<String, Rejection> {
    text(field, required(field, value)?, limit)
}

/// `YYYY-MM-DD`.
pub fn date(field: &str, text: &str) -> Result<Date, Rejection> {
    parse(field, text, "YYYY-MM-DD")
}

/// `YYYY-MM-DD`, or empty for `None`.
pub fn optional_date(field: &str, text: &str) -> Result<Option<Date>, Rejection> {
    if text.is_empty() { Ok(None) } else { date(field, text).map(Some) }
}

/// `YYYY-MM`.
pub fn month(field: &str, text: &str) -> Result<Month, Rejection> {
    parse(field, text, "YYYY-MM")
}

/// Any type that parses itself; `expected` describes its form.
pub fn parse<T: FromStr>(field: &str, text: &str, expected: &str) -> Result<T, Rejection> {
    required(field, text)?.parse().map_err(|_| malformed(field, expected))
}

/// The stored text of an enum value; unspecified and unknown ones are refused.
pub fn enum_str<E: EnumText>(field: &str, value: i32) -> Result<&'static str, Rejection> {
    enum_text::<E>(value).ok_or_else(|| Reason::EnumUnspecified.field(field))
}

/// An enum value as the domain's type of the same texts: `enumerated::<pb::RecordState, RecordState>`.
/// A value that the domain does not know is refused like an unspecified one.
pub fn enumerated<E: EnumText, T: FromStr>(field: &str, value: i32) -> Result<T, Rejection> {
    enum_str::<E>(field, value)?.parse().map_err(|_| Reason::EnumUnspecified.field(field))
}

/// A resource name of one of these collections.
pub fn name(field: &str, text: &str, allowed: &[Collection]) -> Result<Name, Rejection> {
    Name::parse_field(field, text, allowed)
}

/// A resource name, or empty for `None`.
pub fn optional_name(field: &str, text: &str, allowed: &[Collection]) -> Result<Option<Name>, Rejection> {
    if text.is_empty() { Ok(None) } else { name(field, text, allowed).map(Some) }
}

pub fn participant(field: &str, text: &str) -> Result<Participant, Rejection> {
    parse(field, text, "regions/{6 digits} | channels/{id}")
}

pub fn request_id(text: &str) -> Result<RequestId, Rejection> {
    parse("request_id", text, "a UUIDv7 in lower case with hyphens")
}

/// An amount that moves money: 1 to [`MAX_AMOUNT_FEN`].
pub fn money_fen(field: &str, fen: i64) -> Result<i64, Rejection> {
    in_range(field, fen, 1, MAX_AMOUNT_FEN)
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

/// A message that must be there.
pub fn message<'a, T>(field: &str, value: &'a Option<T>) -> Result<&'a T, Rejection> {
    value.as_ref().ok_or_else(|| Reason::FieldMissing.field(field))
}

/// 64 lower-case hex digits.
pub fn sha256(field: &str, text: &str) -> Result<String, Rejection> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if required(field, text)?.len() == 64 && text.bytes().all(is_hex) {
        Ok(text.to_owned())
    } else {
        Err(malformed(field, "64 lower-case hexadecimal digits"))
    }
}

pub fn malformed(field: &str, expected: &str) -> Rejection {
    Reason::FieldMalformed.field(field).var("expected", expected)
}
