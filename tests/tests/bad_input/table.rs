//! The committed table, `outcomes.txt`: what the gateway says to each bad request.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The outcome of what is accepted.
pub const OK: &str = "OK";

/// A line's place: method, field and what was done to it. Rows of the whole call have no field.
pub type Key = (String, String, String);

/// Each row in the order of the API, with `STATUS | REASON | field`, or [`OK`].
#[derive(Default)]
pub struct Table {
    rows: Vec<(Key, String)>,
    by_key: BTreeMap<Key, String>,
}

const HEAD: &str = "\
# What the gateway says to bad input: for every method, each field of a right request damaged in
# turn. A line names everything that has the same outcome; OK is what is right after all.
# Made by UPDATE_SNAPSHOT=1 cargo nextest run -p jjj-tests --test bad_input sqlite
#
# method | field: what was done to it | status | reason | field
";

impl Table {
    pub fn committed() -> Self {
        let mut table = Self::default();
        let text = std::fs::read_to_string(path()).unwrap_or_default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let cells: Vec<&str> = line.splitn(3, " | ").collect();
            let [method, damages, outcome] = cells[..] else { panic!("{line}: not a row") };
            let (field, whats) = damages.split_once(": ").unwrap_or(("", damages));
            for what in whats.split(", ") {
                table.add((method.into(), field.into(), what.into()), outcome.into());
            }
        }
        table
    }

    pub fn add(&mut self, key: Key, outcome: String) {
        let twice = self.by_key.insert(key.clone(), outcome.clone());
        assert!(twice.is_none(), "two rows are {key:?}");
        self.rows.push((key, outcome));
    }

    pub fn outcome(&self, key: &Key) -> Option<&str> {
        self.by_key.get(key).map(String::as_str)
    }

    pub fn rows(&self) -> impl Iterator<Item = &(Key, String)> {
        self.rows.iter()
    }

    pub fn write(&self) {
        let mut lines: Vec<(&str, &str, Vec<&str>, &str)> = Vec::new();
        for ((method, field, what), outcome) in &self.rows {
            let same = |line: &&mut (&str, &str, Vec<&str>, &str)| (line.0, line.1, line.3) == (method, field, outcome);
            match lines.iter_mut().rev().take(20).find(same) {
                Some(line) => line.2.push(what),
                None => lines.push((method, field, vec![what], outcome)),
            }
        }
        let mut text = HEAD.to_owned();
        let mut before = "";
        for (method, field, whats, outcome) in lines {
            if method != before {
                text.push('\n');
                before = method;
            }
            let colon = if field.is_empty() { "" } else { ": " };
            writeln!(text, "{method} | {field}{colon}{} | {}", whats.join(", "), outcome).unwrap();
        }
        std::fs::write(path(), text).unwrap();
    }

    /// What differs from the committed table, a line each.
    pub fn differences(&self, committed: &Self) -> String {
        let mut text = String::new();
        for (key, outcome) in &self.rows {
            let was = committed.outcome(key);
            if was != Some(outcome) {
                writeln!(text, "{key:?} is {outcome}; the table says {}", was.unwrap_or("nothing")).unwrap();
            }
        }
        for (key, _) in committed.rows.iter().filter(|(key, _)| self.outcome(key).is_none()) {
            writeln!(text, "{key:?} is in the table, and nobody asks it").unwrap();
        }
        text
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input/outcomes.txt")
}
