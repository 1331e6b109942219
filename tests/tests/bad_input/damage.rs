//! Every field of a request damaged by its type, one at a time.

use jjj_cli::client::Client;
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

/// One damaged request.
pub struct Damaged {
    /// `personal_data.full_name`.
    pub field: String,
    /// What was done to it; no comma, for the table lists several.
    pub what: &'static str,
    pub request: Value,
}

/// Longer than any text of the API, but certificates, keys and policies.
const LONG: usize = 5_000;

/// What becomes of a right request when each field in turn is damaged.
pub fn damages(message: &MessageDescriptor, request: &Value, client: &Client) -> Vec<Damaged> {
    let mut all = Vec::new();
    fields(message, request, "", &mut |path, what, to| {
        let mut damaged = request.clone();
        put(&mut damaged, path, to);
        // Absent and damaged to what absence means is no damage.
        if damaged != *request {
            let field = path.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
            all.push(Damaged { field, what, request: damaged });
        }
    });
    if message.get_field_by_name("request_id").is_some() {
        all.extend(request_ids(client).map(|(what, id)| {
            let mut damaged = request.clone();
            damaged["request_id"] = id.into();
            Damaged { field: "request_id".into(), what, request: damaged }
        }));
    }
    all
}

/// Ids that are none, or none of now.
fn request_ids(client: &Client) -> impl Iterator<Item = (&'static str, String)> {
    const DAY_MS: i64 = 86_400_000;
    let fresh = client.request_id();
    let now_ms = client.now_us() / 1_000;
    // The first 48 bits of a UUIDv7 are its time.
    let at = |ms: i64| {
        let hex = format!("{ms:012x}");
        format!("{}-{}{}", &hex[..8], &hex[8..], &fresh[13..])
    };
    let ids = [
        ("empty", String::new()),
        ("\"?\"", "?".into()),
        ("version 4", format!("{}4{}", &fresh[..14], &fresh[15..])),
        ("in capitals", fresh.to_uppercase()),
        ("36 days old", at(now_ms - 36 * DAY_MS)),
        ("a day ahead", at(now_ms + DAY_MS)),
    ];
    ids.into_iter()
}

/// Takes the path of a value, what is done to it, and what it becomes.
type Report<'a> = &'a mut dyn FnMut(&str, &'static str, Value);

fn fields(message: &MessageDescriptor, value: &Value, at: &str, report: Report<'_>) {
    for field in message.fields().filter(|field| field.name() != "request_id") {
        let path = format!("{at}/{}", field.name());
        let present = value.get(field.name());
        if field.cardinality() != Cardinality::Repeated {
            damage(&field, present, &path, report);
        } else if let Some([first, ..]) = present.and_then(Value::as_array).map(Vec::as_slice) {
            let items = present.and_then(Value::as_array).expect("an array");
            report(&path, "emptied", json!([]));
            report(&path, "the first twice", json!([std::slice::from_ref(first), items].concat()));
            damage(&field, Some(first), &format!("{path}/0"), report);
        }
    }
}

fn damage(field: &FieldDescriptor, present: Option<&Value>, path: &str, report: Report<'_>) {
    let mut say = |what, to: Value| report(path, what, to);
    match field.kind() {
        Kind::Message(inner) => {
            let Some(present) = present else { return };
            if !path.ends_with("/0") {
                say("removed", Value::Null);
            }
            fields(&inner, present, path, report);
        }
        Kind::String => text_damage(present.and_then(Value::as_str).unwrap_or_default(), &mut say),
        Kind::Enum(_) => {
            say("unspecified", json!(0));
            say("999", json!(999));
        }
        // -1 means something to a stream.
        Kind::Int32 => {
            say("-2", json!(-2));
            say("0", json!(0));
            say("largest", json!(i32::MAX));
        }
        Kind::Int64 => {
            say("-2", json!("-2"));
            say("0", json!("0"));
            say("largest", json!(i64::MAX.to_string()));
        }
        Kind::Bytes => {
            say("empty", json!(""));
            say("one byte", json!("AA=="));
        }
        // Both its values are right.
        Kind::Bool => {}
        other => panic!("{path}: no damage for {other:?} yet"),
    }
}

fn text_damage(before: &str, say: &mut dyn FnMut(&'static str, Value)) {
    if !before.is_empty() {
        say("empty", json!(""));
    }
    // In a text for people, a question mark is as good as anything.
    if before.is_ascii() {
        say("\"?\"", json!("?"));
    }
    say("with NUL", json!("a\0b"));
    say("5000 characters", json!("字".repeat(LONG)));
    if before.contains(" = \"") {
        say("a value with NUL", json!(before.replacen('"', "\"\0", 1)));
        say("a column that is no field", json!("salt = \"1\""));
    } else if is_name(before) {
        say("of nobody", json!(nobody(before)));
        say("of another kind", json!("widgets/0190163d-8694-739b-aea5-966c26f8ad91"));
    } else if before.len() == 10 && before.as_bytes()[4] == b'-' && before.as_bytes()[7] == b'-' {
        say("30 February", json!("2026-02-30"));
        say("year 1", json!("0001-01-01"));
        say("year 9999", json!("9999-12-31"));
    } else if before.len() == 7 && before.as_bytes()[4] == b'-' {
        say("month 13", json!("2026-13"));
        say("year 1", json!("0001-01"));
        say("year 9999", json!("9999-12"));
    }
}

fn is_name(text: &str) -> bool {
    let Some((collection, _)) = text.split_once('/') else { return false };
    collection.starts_with(|c: char| c.is_ascii_lowercase()) && collection.bytes().all(|b| b.is_ascii_alphabetic())
}

/// A name of the same form that nothing has.
fn nobody(name: &str) -> String {
    let (collection, id) = name.rsplit_once('/').expect("a name has a collection");
    let other = match collection {
        "regions" => "990000".to_owned(),
        "institutions" => "91350100M000100Y43".to_owned(),
        _ if collection.ends_with("/views") => "120000".to_owned(),
        _ if collection.ends_with("/statements") => "9".to_owned(),
        _ if id.len() == 36 => "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
        // Digests and key ids keep their length.
        _ if id.len() >= 40 => "0".repeat(id.len()),
        // Not the same for all: one method's nobody may be another's newcomer.
        _ => format!("no-{id}"),
    };
    format!("{collection}/{other}")
}

fn put(value: &mut Value, path: &str, to: Value) {
    let (parent, leaf) = path.rsplit_once('/').expect("a path begins with a slash");
    let parent = if parent.is_empty() { value } else { value.pointer_mut(parent).expect("a path of the request") };
    match parent {
        Value::Array(items) => items[leaf.parse::<usize>().expect("an index")] = to,
        other => other[leaf] = to,
    }
}
