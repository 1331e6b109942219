//! Python's grpcio and PyJWT play regions, channels and administrators through the whole day and
//! the next morning, from nothing but the proto files and the README's description of the request
//! token. The script fails when a method of the API was never called with success.

use std::path::{Path, PathBuf};
use std::process::Command;

use jjj_tests::both_databases;
use jjj_tests::gateway::{Site, binary, workspace};
use jjj_tests::postgres::TestDatabase;

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

/// The interpreter that `./test` prepares, or one prepared here: this test is never skipped.
fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("JJJ_TEST_PYTHON") {
        return python.into();
    }
    let venv = workspace().join(".venv");
    let python = venv.join("bin/python");
    let lock = std::fs::File::create(std::env::temp_dir().join("jjj-test-venv.lock")).expect("a lock file");
    lock.lock().expect("a lock");
    if !run(&python, &["-c", "import grpc, grpc_tools, jwt, cryptography"]) {
        assert!(
            run("python3".as_ref(), &["-m", "venv", &venv.display().to_string()]),
            "python3 -m venv: is it installed?"
        );
        let wanted = workspace().join("tests/python/requirements.txt").display().to_string();
        assert!(run(&python, &["-m", "pip", "install", "-q", "-r", &wanted]), "the Python client's packages");
    }
    python
}

fn run(program: &Path, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}
