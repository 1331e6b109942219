//! `jjj demo` as a newcomer runs it: the day of the product, on both databases.

use jjj_tests::both_databases;
use jjj_tests::gateway::jjj;
use jjj_tests::postgres::TestDatabase;
use serde_json::Value;

both_databases!(the_day_is_played_reconciled_and_verified);

async fn the_day_is_played_reconciled_and_verified(db: TestDatabase) {
    let output = jjj(&["demo", "--json", "--db", db.url()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("the summary is JSON");
    assert_eq!(summary["ok"], true, "{summary:#}");
    assert_eq!(summary["verify"]["faults"], Value::Array(Vec::new()));
    assert_eq!(summary["classes_found"].as_array().map(Vec::len), Some(20), "{summary:#}");
    // The database is left to look at.
    let verified = jjj(&["verify", "--db", db.url()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
