//! A region's own copy of a set of records: a file of JSON Lines that is only appended to.
//!
//! | Line | Means |
//! |---|---|
//! | a record: its row as JSON, integers as texts, as bodies of events have it under `rows`, `r` | the record as of now |
//! | `{"removed": "recognitions/…"}` | there is no such record any more |
//!
//! The last line of a name counts, so whoever follows the events may append rows as they come. A last
//! line that a crash tore is cut off before anything is appended; damage anywhere else is refused with its
//! line. Other columns than the name and `version` are not looked at.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use jjj_domain::recon::ranges::Item;
use serde_json::Value;

/// The copy, by names: what is compared, and where in the file it is.
pub struct Copy {
    path: PathBuf,
    /// The column that holds a record's name.
    key: &'static str,
    entries: BTreeMap<String, Entry>,
    /// Up to where the file is whole.
    whole_bytes: u64,
    /// Lines that no longer count.
    dead: usize,
    /// Held while the copy is written to.
    lock: Option<File>,
}

struct Entry {
    item: Item,
    offset: u64,
    bytes: usize,
}

enum Line {
    Record(Item),
    Removed(String),
}

impl Copy {
    /// Reads a copy; one that is not there yet is empty.
    pub fn read(path: &Path, key: &'static str) -> anyhow::Result<Self> {
        let mut copy =
            Self { path: path.to_owned(), key, entries: BTreeMap::new(), whole_bytes: 0, dead: 0, lock: None };
        let mut file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(copy),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let bytes = file.read_until(b'\n', &mut line).with_context(|| path.display().to_string())?;
            // The last line has no end when its writer was stopped in it.
            if line.pop() != Some(b'\n') {
                break;
            }
            let known = parse(&line, key).with_context(|| format!("{}:{number}", path.display()))?;
            copy.take(known, bytes - 1);
        }
        Ok(copy)
    }

    fn take(&mut self, line: Line, bytes: usize) {
        let offset = self.whole_bytes;
        let replaced = match line {
            Line::Record(item) => self.entries.insert(item.name.clone(), Entry { item, offset, bytes }),
            Line::Removed(name) => {
                self.dead += 1;
                self.entries.remove(&name)
            }
        };
        self.dead += usize::from(replaced.is_some());
        self.whole_bytes += bytes as u64 + 1;
    }

    /// Reads a copy that is then written to, and keeps other processes from writing to it.
    pub fn locked(path: &Path, key: &'static str) -> anyhow::Result<Self> {
        let beside = beside(path, "lock");
        let lock = File::options().create(true).append(true).open(&beside);
        let lock = lock.with_context(|| beside.display().to_string())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { lock: Some(lock), ..Self::read(path, key)? }),
            Err(TryLockError::WouldBlock) => bail!("another process is repairing {}", path.display()),
            Err(TryLockError::Error(error)) => Err(error).context("locking the copy"),
        }
    }

    /// In the order of their names.
    pub fn items(&self) -> Vec<Item> {
        self.entries.values().map(|entry| entry.item.clone()).collect()
    }

    /// Appends records and removals; durable when this returns.
    pub fn append(&mut self, records: &[String], removed: &[String]) -> anyhow::Result<()> {
        ensure!(self.lock.is_some(), "a copy is locked before it is written to");
        let mut lines = Vec::new();
        let removals = removed.iter().map(|name| serde_json::json!({"removed": name}).to_string());
        for text in records.iter().cloned().chain(removals) {
            lines.push((parse(text.as_bytes(), self.key).context("a record of the gateway's")?, text));
        }
        let named = || self.path.display().to_string();
        let mut file = File::options().create(true).truncate(false).write(true).open(&self.path).with_context(named)?;
        file.set_len(self.whole_bytes).with_context(named)?;
        file.seek(SeekFrom::End(0)).with_context(named)?;
        let mut out = BufWriter::new(&file);
        for (_, text) in &lines {
            writeln!(out, "{text}").with_context(named)?;
        }
        out.flush().with_context(named)?;
        drop(out);
        file.sync_all().with_context(named)?;
        lines.into_iter().for_each(|(line, text)| self.take(line, text.len()));
        Ok(())
    }

    /// Writes the file anew without lines that no longer count, in the order of names. Whole, or as it was.
    pub fn tidy(&mut self) -> anyhow::Result<()> {
        if self.dead == 0 {
            return Ok(());
        }
        let named = || self.path.display().to_string();
        let new = beside(&self.path, "new");
        let mut old = File::open(&self.path).with_context(named)?;
        let file = File::create(&new).with_context(|| new.display().to_string())?;
        let mut out = BufWriter::new(&file);
        let mut line = Vec::new();
        for entry in self.entries.values() {
            old.seek(SeekFrom::Start(entry.offset)).with_context(named)?;
            line.resize(entry.bytes, 0);
            old.read_exact(&mut line).with_context(named)?;
            line.push(b'\n');
            out.write_all(&line)?;
            line.pop();
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        fs::rename(&new, &self.path).with_context(named)?;
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        (self.whole_bytes, self.dead) = (0, 0);
        for entry in self.entries.values_mut() {
            entry.offset = self.whole_bytes;
            self.whole_bytes += entry.bytes as u64 + 1;
        }
        Ok(())
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn parse(line: &[u8], key: &str) -> anyhow::Result<Line> {
    let value: Value = serde_json::from_slice(line).context("not JSON")?;
    if let Some(removed) = value.get("removed") {
        let name = removed.as_str().context("`removed` is no name")?;
        return Ok(Line::Removed(name.to_owned()));
    }
    let name = value[key].as_str().with_context(|| format!("`{key}` is no name"))?.to_owned();
    let version = value["version"].as_str().and_then(|text| text.parse().ok());
    let version = version.context("`version` is no integer as text")?;
    // Members in their order and no white space: what the digest is over, however it was written here.
    Ok(Line::Record(Item::new(name, version, &value.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, version: i64) -> String {
        format!(r#"{{"recognition":"{name}","version":"{version}"}}"#)
    }

    fn known(copy: &Copy) -> Vec<(String, i64)> {
        copy.items().into_iter().map(|item| (item.name, item.version)).collect()
    }

    #[test]
    fn the_last_line_of_a_name_counts_and_a_torn_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy.jsonl");
        let mut copy = Copy::read(&path, "recognition").unwrap();
        assert!(copy.append(&[record("a", 1)], &[]).is_err(), "not locked");
        copy = Copy::locked(&path, "recognition").unwrap();
        copy.append(&[record("b", 1), record("a", 1)], &[]).unwrap();
        copy.append(&[record("a", 2), record("c", 1)], &["b".into()]).unwrap();
        let expected = vec![("a".to_owned(), 2), ("c".to_owned(), 1)];
        assert_eq!(known(&copy), expected);
        assert!(Copy::locked(&path, "recognition").is_err(), "one process writes");

        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"recognition":"d","#);
        fs::write(&path, &torn).unwrap();
        drop(copy);
        let mut copy = Copy::locked(&path, "recognition").unwrap();
        assert_eq!(known(&copy), expected);
        copy.append(&[record("e", 1)], &[]).unwrap();
        copy.tidy().unwrap();
        let lines = fs::read_to_string(&path).unwrap();
        assert_eq!(lines, [record("a", 2), record("c", 1), record("e", 1), String::new()].join("\n"));
        // What was tidied is known where it is now.
        copy.append(&[record("c", 2), record("a", 3)], &[]).unwrap();
        copy.tidy().unwrap();
        let lines = fs::read_to_string(&path).unwrap();
        assert_eq!(lines, [record("a", 3), record("c", 2), record("e", 1), String::new()].join("\n"));
        assert_eq!(known(&Copy::read(&path, "recognition").unwrap()), known(&copy));
    }

    #[test]
    fn spelling_does_not_matter_and_damage_is_named_by_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy.jsonl");
        fs::write(&path, "{ \"version\": \"1\", \"recognition\": \"\\u0061\" }\n").unwrap();
        let copy = Copy::read(&path, "recognition").unwrap();
        assert_eq!(copy.items(), [Item::new("a".into(), 1, &record("a", 1))]);
        for damaged in ["?", "{}", r#"{"recognition":"a","version":1}"#, r#"{"removed":7}"#] {
            fs::write(&path, format!("{}\n{damaged}\n{}\n", record("a", 1), record("b", 1))).unwrap();
            let error = format!("{:#}", Copy::read(&path, "recognition").err().unwrap());
            assert!(error.contains("copy.jsonl:2"), "{error}");
        }
    }
}
