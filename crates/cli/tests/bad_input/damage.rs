//! Every field of a request damaged by its type, one at a time.

use jjj_cli::client::Client;
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

/// One damaged request: what was done to it, and the request.
pub type Damaged = (String, Value);

/// The length that no text of the API reaches.
const LONG: usize = 5_000;

/// What becomes of a request when each field in turn is damaged.
pub fn damages(message: &MessageDescriptor, request: &Value, client: &Client) -> Vec<Damaged> {
    let mut all = Vec::new();
    message_damages(message, request, "", &mut |path, to, what| {
        let mut damaged = request.clone();
        put(&mut damaged, &path, to);
        let label = path.replace('/', ".");
        all.push((format!("{} {what}", label.trim_start_matches('.')), damaged));
    });
    if message.get_field_by_name("request_id").is_some() {
        for (what, id) in request_ids(client) {
            let mut damaged = request.clone();
            damaged["request_id"] = id.into();
            all.push((format!("request_id {what}"), damaged));
        }
    }
    all
}

/// Ids that are none, or none of now.
fn request_ids(client: &Client) -> Vec<(&'static str, String)> {
    const DAY_MS: i64 = 86_400_000;
    let fresh = client.request_id();
    let now_ms = client.now_us() / 1_000;
    // The first 48 bits of a UUIDv7 are its time.
    let at = |ms: i64| {
        let hex = format!("{ms:012x}");
        format!("{}-{}{}", &hex[..8], &hex[8..], &fresh[13..])
    };
    vec![
        ("malformed", "?".into()),
        ("of version 4", format!("{}4{}", &fresh[..14], &fresh[15..])),
        ("in capitals", fresh.to_uppercase()),
        ("36 days old", at(now_ms - 36 * DAY_MS)),
        ("a day ahead", at(now_ms + DAY_MS)),
    ]
}

type Report<'a> = &'a mut dyn FnMut(String, Value, &str);

fn message_damages(message: &MessageDescriptor, value: &Value, at: &str, report: Report<'_>) {
    for field in message.fields().filter(|f| f.name() != "request_id") {
        let path = format!("{at}/{}", field.name());
        let present = value.get(field.name());
        if field.cardinality() == Cardinality::Repeated {
            let Some(items) = present.and_then(Value::as_array).filter(|items| !items.is_empty()) else { continue };
            report(path.clone(), json!([]), "emptied");
            report(path.clone(), json!([&items[..], &items[..1]].concat()), "with its first twice");
            value_damages(&field, Some(&items[0]), &format!("{path}/0"), report);
        } else {
            value_damages(&field, present, &path, report);
        }
    }
}

fn value_damages(field: &FieldDescriptor, present: Option<&Value>, path: &str, report: Report<'_>) {
    let mut say = |to: Value, what: &str| report(path.to_owned(), to, what);
    match field.kind() {
        Kind::Message(inner) => {
            let Some(present) = present else { return };
            if !path.ends_with("/0") {
                say(Value::Null, "removed");
            }
            message_damages(&inner, present, path, report);
        }
        Kind::String => {
            let before = present.and_then(Value::as_str).unwrap_or_default();
            if !before.is_empty() {
                say(json!(""), "empty");
            }
            say(json!("?"), "\"?\"");
            say(json!("a\u{0}b"), "with a NUL");
            say(json!("字".repeat(LONG)), "of 5,000 characters");
            if is_name(before) {
                say(json!(nobody(before)), "of nobody");
                say(json!("widgets/0190163d-8694-739b-aea5-966c26f8ad91"), "of another collection");
            } else if before.len() == 10 && before.as_bytes()[4] == b'-' && before.as_bytes()[7] == b'-' {
                say(json!("2026-02-30"), "no such day");
                say(json!("0001-01-01"), "in the year 1");
                say(json!("9999-12-31"), "in the year 9999");
            } else if before.len() == 7 && before.as_bytes()[4] == b'-' {
                say(json!("2026-13"), "no such month");
                say(json!("9999-12"), "in the year 9999");
            }
        }
        Kind::Enum(_) => {
            say(json!(0), "unspecified");
            say(json!(999), "999");
        }
        Kind::Int32 => {
            say(json!(-1), "-1");
            say(json!(0), "0");
            say(json!(i32::MAX), "at its most");
        }
        Kind::Int64 => {
            say(json!("-1"), "-1");
            say(json!("0"), "0");
            say(json!(i64::MAX.to_string()), "at its most");
        }
        Kind::Bytes => {
            say(json!(""), "empty");
            say(json!("AA=="), "of one byte");
        }
        Kind::Bool => {}
        other => panic!("{path}: no damage for {other:?}"),
    }
}

fn is_name(text: &str) -> bool {
    let collection = text.split('/').next().unwrap_or_default();
    text.contains('/') && !collection.is_empty() && collection.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// A name of the same form that nothing has.
fn nobody(name: &str) -> String {
    let (collection, id) = name.rsplit_once('/').unwrap();
    let other = match collection {
        "regions" | "views" => "990000".to_owned(),
        "institutions" => "91350100M000100Y43".to_owned(),
        _ if id.len() == 36 => "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
        // Digests and key ids keep their length.
        _ if id.len() >= 40 => "0".repeat(id.len()),
        _ => "nobody".to_owned(),
    };
    format!("{collection}/{other}")
}

fn put(value: &mut Value, path: &str, to: Value) {
    let (parent, leaf) = path.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() { value } else { value.pointer_mut(parent).unwrap() };
    match parent {
        Value::Array(items) => items[leaf.parse::<usize>().unwrap()] = to,
        other => other[leaf] = to,
    }
}
