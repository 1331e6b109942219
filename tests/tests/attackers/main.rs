//! What each attacker of the design can and cannot do, and what notices it. One test per row, on both
//! databases, against the real gateway; docs/attackers.md has the same rows, and a test compares.

mod deeds;
mod scene;

use std::fmt::Write as _;

use jjj_tests::both_databases;
use jjj_tests::gateway::workspace;
use jjj_tests::postgres::TestDatabase;

use scene::{Scene, Seen};

/// A row of the document: who, to what end, how; and what is seen of it.
struct Row {
    test: &'static str,
    attacker: &'static str,
    aim: &'static str,
    deed: &'static str,
    seen: [&'static str; 5],
}

const DATABASE: &str = "The database only";
const KEYS: &str = "The database and the gateway's keys";
const AND_BEIJING: &str = "The database, the gateway's keys and a second region's";
const STOLEN: &str = "A participant's stolen key";

/// Each row is a test by its name: `deeds` does it and observes, the row says what must be seen.
macro_rules! rows {
    ($($test:ident: $attacker:ident, $aim:literal, $deed:literal =>
        $gateway:literal, $verify:literal, $receipts:literal, $file:literal, $witness:literal;)+) => {
        const ROWS: &[Row] = &[$(Row {
            test: stringify!($test),
            attacker: $attacker,
            aim: $aim,
            deed: $deed,
            seen: [$gateway, $verify, $receipts, $file, $witness],
        }),+];

        $(async fn $test(db: TestDatabase) {
            expect(stringify!($test), deeds::$test(Scene::set(db).await).await);
        })+

        both_databases!($($test),+);
    };
}

fn expect(test: &str, seen: Seen) {
    let row = ROWS.iter().find(|row| row.test == test).expect("a row");
    let Seen { gateway, verify, receipts, file, witness } = &seen;
    assert_eq!([gateway, verify, receipts, file, witness], row.seen.each_ref(), "{}: {}", row.attacker, row.deed);
}

#[rustfmt::skip]
rows! {
    a_table_altered: DATABASE, "alter", "changes a grade in its table" =>
        "—", "records", "kept", "—", "cosigns";
    a_leaf_altered: DATABASE, "alter", "changes the grade in its leaf as well, and every hash that follows" =>
        "—", "checkpoints, evidence", "a promise not kept", "—", "cosigns";
    a_leaf_deleted: DATABASE, "drop", "deletes the record, its leaf, its number and its evidence" =>
        "—", "deliveries, leaf_order, leaves, requests", "a promise not kept", "—", "cosigns";
    an_older_copy_restored: DATABASE, "drop", "puts a copy from before the record in its place" =>
        "—", "clean", "a promise not kept", "—", "WITNESS_ROLLED_BACK";
    a_leaf_dated_back: DATABASE, "back-date", "moves a record's time to the day before, in table, leaf and hashes" =>
        "—", "checkpoints, evidence", "a promise not kept", "—", "cosigns";
    a_key_inserted: DATABASE, "enrol", "inserts an authority and a key for Hebei, and signs with it" =>
        "takes it", "authorities, keys", "kept", "RECEIPT_FILE_KEY_UNKNOWN", "cosigns";
    a_head_of_its_own: DATABASE, "equivocate", "puts a head that it signed itself in the place of the gateway's" =>
        "—", "checkpoints", "kept", "—", "WITNESS_CHECKPOINT_UNSIGNED";

    a_leaf_altered_and_signed_anew: KEYS, "alter", "changes a grade in table, leaf and hashes; signs receipt and heads anew" =>
        "—", "clean", "a promise not kept", "proven, by regions/130000", "WITNESS_FORKED";
    an_agreement_of_its_own: KEYS, "alter", "puts an agreement between Hebei and Beijing in force in a leaf of its own" =>
        "—", "policies", "kept", "—", "cosigns";
    an_older_copy_gone_on_with: KEYS, "drop", "puts a copy from before the record in its place, and goes on" =>
        "takes it", "clean", "a promise not kept", "proven, by regions/130000", "WITNESS_HISTORY_REWRITTEN";
    a_leaf_dated_back_and_signed_anew: KEYS, "back-date", "moves a record's time to the day before; signs receipt and heads anew" =>
        "—", "evidence", "a promise not kept", "RECEIPT_FILE_TOKEN_MISMATCH", "WITNESS_FORKED";
    a_key_registered_by_the_gateway_alone: KEYS, "enrol", "records an authority and a key for Hebei in a leaf of its own, and signs with it" =>
        "takes it", "authorities, keys", "kept", "RECEIPT_FILE_KEY_REGISTERED_BY_ANOTHER", "cosigns";
    two_logs_shown: KEYS, "equivocate", "shows Beijing one log and Hebei another, both signed" =>
        "takes it", "clean", "a promise not kept", "proven, by regions/130000", "WITNESS_FORKED";

    a_key_registered_by_another_region: AND_BEIJING, "enrol", "records an authority and a key for Hebei under a request that Beijing signed, and signs with it" =>
        "takes it", "authorities, keys", "kept", "RECEIPT_FILE_KEY_REGISTERED_BY_ANOTHER", "cosigns";

    a_record_of_its_own_altered: STOLEN, "alter", "downgrades a rating of Hebei's with Hebei's key and certificate" =>
        "takes it", "clean", "kept", "proven, by regions/130000", "cosigns";
    a_record_of_another_altered: STOLEN, "alter", "downgrades a rating of Hebei's with Beijing's key and certificate" =>
        "NOT_YOUR_RECORD", "clean", "kept", "—", "cosigns";
    a_record_revoked_from_its_first_day: STOLEN, "drop", "revokes a rating of Hebei's from its first day, as if it had never been" =>
        "takes it", "clean", "kept", "proven, by regions/130000", "cosigns";
    a_token_dated_back: STOLEN, "back-date", "signs a token of yesterday" =>
        "TOKEN_EXPIRED", "clean", "kept", "—", "cosigns";
    a_second_key_added: STOLEN, "enrol", "adds a key of its own for Hebei" =>
        "takes it", "clean", "kept", "proven, by regions/130000", "cosigns";
    one_id_for_two_contents: STOLEN, "equivocate", "sends two different requests under one id" =>
        "REQUEST_ID_REUSED", "clean", "kept", "—", "cosigns";
    the_key_without_the_certificate: STOLEN, "any of these", "signs with Hebei's key over another participant's connection" =>
        "CERTIFICATE_OF_ANOTHER_PARTICIPANT", "clean", "kept", "—", "cosigns";
    the_key_after_its_withdrawal: STOLEN, "any of these", "goes on after the key was withdrawn as suspect" =>
        "KEY_NOT_IN_FORCE", "clean; marks it suspect", "kept", "proven; marks it suspect", "cosigns";
}

/// The document's table is this one. `UPDATE_SNAPSHOT=1` writes it, to be read.
#[test]
fn the_document_has_these_rows() {
    let path = workspace().join("docs/attackers.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- rows -->\n", "<!-- /rows -->");
    let (head, rest) = document.split_once(begin).expect("where the table begins");
    let (table, tail) = rest.split_once(end).expect("where the table ends");
    let written = table_of(ROWS);
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::write(&path, format!("{head}{begin}{written}{end}{tail}")).unwrap();
        return;
    }
    assert_eq!(table, written);
}

fn table_of(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut attacker = "";
    for row in rows {
        if row.attacker != attacker {
            attacker = row.attacker;
            writeln!(text, "\n## {attacker}\n").unwrap();
            writeln!(
                text,
                "| To | does this | the gateway | `jjj verify` | `--receipts` | `jjj verify receipt` | a witness |"
            )
            .unwrap();
            writeln!(text, "|---|---|---|---|---|---|---|").unwrap();
        }
        let seen = row.seen.map(cell).join(" | ");
        writeln!(text, "| {} | {} | {seen} |", row.aim, row.deed).unwrap();
    }
    text.push('\n');
    text
}

/// Reasons and tables as code; what notices something stands out.
fn cell(seen: &str) -> String {
    let quiet = ["—", "clean", "kept", "cosigns", "takes it"];
    let is_name = |word: &str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    match seen {
        _ if quiet.contains(&seen) || seen.starts_with("proven, by") => seen.to_owned(),
        _ if is_name(seen) => format!("**`{seen}`**"),
        _ => format!("**{seen}**"),
    }
}
