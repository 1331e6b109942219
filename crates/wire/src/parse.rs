//! Fields of requests, each parsed once and refused by its name in proto spelling
//! (`fees.bed_fee_fen`, `identifiers[0].value`).

use std::str::FromStr;

use jjj_domain::names::{Collection, Name, NotAName};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::time::{Date, Month};

use crate::enums::{EnumText, enum_text};

/// A text that cannot be empty, by its own parser: `FIELD_MISSING`, `FIELD_MALFORMED`.
pub fn parsed<T: FromStr>(field: &str, text: &str, expected: &str) -> Result<T, Rejection> {
    if text.is_empty() {
        return Err(Reason::FieldMissing.field(field));
    }
    text.parse().map_err(|_| Reason::FieldMalformed.field(field).var("expected", expected))
}

/// A field that may be empty; given, it is parsed.
pub fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, Rejection>) -> Result<Option<T>, Rejection> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// The name of a resource of one collection.
pub fn name(field: &str, text: &str, collection: Collection) -> Result<Name, Rejection> {
    Name::parse_field(field, text, &[collection])
}

/// A participant or an actor, `expected` saying which forms are meant.
pub fn who<T: FromStr<Err = NotAName>>(field: &str, text: &str, expected: &str) -> Result<T, Rejection> {
    parsed(field, text, expected)
}

/// A civil date.
pub fn date(field: &str, text: &str) -> Result<Date, Rejection> {
    parsed(field, text, "YYYY-MM-DD")
}

/// A calendar month.
pub fn month(field: &str, text: &str) -> Result<Month, Rejection> {
    parsed(field, text, "YYYY-MM")
}

/// An enum's value: `ENUM_UNSPECIFIED` for 0 and for numbers this version does not know.
pub fn choice<E: EnumText, T: FromStr>(field: &str, value: i32) -> Result<T, Rejection> {
    enum_text::<E>(value).and_then(|text| text.parse().ok()).ok_or_else(|| Reason::EnumUnspecified.field(field))
}

/// A text for people. Control characters but line ends and tabs are refused: a database
/// cannot hold them all, and a terminal should not meet them.
pub fn text(field: &str, text: &str) -> Result<String, Rejection> {
    match text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        false => Ok(text.to_owned()),
        true => Err(Reason::FieldMalformed.field(field).var("expected", "text without control characters")),
    }
}

/// A message that must be there.
pub fn message<'a, T>(field: &str, message: &'a Option<T>) -> Result<&'a T, Rejection> {
    message.as_ref().ok_or_else(|| Reason::FieldMissing.field(field))
}

/// Each item of a repeated field, parsed under its own path: `lines[0]`.
pub fn each<T, U>(
    field: &str,
    items: &[T],
    parse: impl Fn(&str, &T) -> Result<U, Rejection>,
) -> Result<Vec<U>, Rejection> {
    items.iter().enumerate().map(|(at, item)| parse(&format!("{field}[{at}]"), item)).collect()
}

/// A date or a name that may be absent, as the API writes it: empty.
pub fn or_empty<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(String::new, T::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    fn refusal<T: std::fmt::Debug>(result: Result<T, Rejection>) -> (Reason, String) {
        let rejection = result.unwrap_err();
        (rejection.reason, rejection.field.unwrap_or_default())
    }

    #[test]
    fn each_kind_of_field_has_its_refusals() {
        use Reason::{EnumUnspecified, FieldMalformed, FieldMissing};
        let said = |reason, field: &str| (reason, field.to_owned());
        assert_eq!(refusal(date("on", "")), said(FieldMissing, "on"));
        assert_eq!(refusal(date("on", "2026-02-30")), said(FieldMalformed, "on"));
        assert_eq!(refusal(month("month", "2026-13")), said(FieldMalformed, "month"));
        assert_eq!(refusal(name("elder", "", Collection::Elder)), said(FieldMissing, "elder"));
        assert_eq!(refusal(name("elder", "stays/1", Collection::Elder)), said(FieldMalformed, "elder"));
        assert_eq!(refusal(message::<()>("fees", &None)), said(FieldMissing, "fees"));
        assert_eq!(refusal(text("reason", "a\0b")), said(FieldMalformed, "reason"));
        for unknown in [0, -1, 99] {
            let state = choice::<pb::RecordState, String>("state", unknown);
            assert_eq!(refusal(state), said(EnumUnspecified, "state"));
        }
        let third =
            each("lines", &[0, 0, 1], |path, n| if *n == 0 { Ok(()) } else { Err(Reason::FieldMissing.field(path)) });
        assert_eq!(refusal(third), said(FieldMissing, "lines[2]"));
    }

    #[test]
    fn what_is_given_and_well_formed_is_taken() {
        assert_eq!(choice::<pb::RecordState, String>("state", pb::RecordState::Valid.into()).unwrap(), "VALID");
        assert_eq!(optional("", |t| date("on", t)), Ok(None));
        assert_eq!(optional("2026-02-28", |t| date("on", t)).unwrap().unwrap().to_string(), "2026-02-28");
        assert_eq!(text("reason", "一\n二").unwrap(), "一\n二");
    }
}
