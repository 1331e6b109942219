//! Python's grpcio and PyJWT play regions, channels and administrators through the whole day and
//! the next morning, from nothing but the proto files and the README's description of the request
//! token. The script fails when a method of the API was never called with success.

use std::process::Command;

use jjj_tests::both_databases;
use jjj_tests::gateway::{Site, binary, workspace};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::python::python;

both_databases!(day);

/// The script runs `jjj serve` itself: its story needs a clock.
async fn day(db: TestDatabase) {
    let site = Site::init(db.url());
    let output = Command::new(python())
        .arg(workspace().join("tests/python/day.py"))
        .arg(binary())
        .arg(site.dir())
        .arg(workspace().join("proto"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(site.dir().join("gateway.log")).unwrap_or_default();
    assert!(output.status.success(), "{out}\n{err}\n{log}");
    assert!(out.lines().last().is_some_and(|line| line.starts_with("called all ")), "{out}");
    site.verify();
}
