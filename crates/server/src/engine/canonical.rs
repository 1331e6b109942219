//! Canonical JSON (RFC 8785) written straight to text: every accepted command's leaf goes through
//! here. Members must be given in their order; a test compares with the general writer.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, LazyLock, RwLock};

use jjj_domain::row::{ColumnSpec, TableSpec};
use jjj_domain::value::Value;

/// Texts, lists and objects of names within ASCII, whose order by bytes is RFC 8785's.
#[derive(Default)]
pub struct Canonical {
    out: Vec<u8>,
}

impl Canonical {
    /// With room for so many bytes: a run's leaf is hundreds of kilobytes, and growing copies it.
    pub fn with_room(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub fn finish(self) -> String {
        String::from_utf8(self.out).expect("JSON of texts is UTF-8")
    }

    pub fn text(&mut self, text: &str) {
        serde_json::to_writer(&mut self.out, text).expect("memory takes any text");
    }

    pub fn integer(&mut self, n: i64) {
        write!(self.out, "\"{n}\"").expect("memory takes any text");
    }

    pub fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    pub fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.out.push(b'[');
        for (n, item) in items.into_iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            write(self, item);
        }
        self.out.push(b']');
    }

    /// An object; its members are given in the order of their names.
    pub fn object(&mut self, members: impl FnOnce(&mut Members<'_>)) {
        self.out.push(b'{');
        members(&mut Members { to: self, any: false });
        self.out.push(b'}');
    }

    /// A row's columns: texts, integers as texts, bytes in hex.
    pub fn columns(&mut self, spec: &TableSpec, values: &[Value]) {
        let order = by_name(spec.columns);
        self.values(order.iter().map(|at| (spec.columns[*at].name, &values[*at])));
    }

    /// The key columns alone.
    pub fn key(&mut self, spec: &TableSpec, key: &[Value]) {
        let mut columns: Vec<_> = spec.key.iter().copied().zip(key).collect();
        columns.sort_unstable_by_key(|(name, _)| *name);
        self.values(columns.into_iter());
    }

    fn values<'v>(&mut self, columns: impl Iterator<Item = (&'v str, &'v Value)>) {
        self.object(|row| {
            for (name, value) in columns {
                let to = row.member(name);
                match value {
                    Value::Null => to.null(),
                    Value::Int(n) => to.integer(*n),
                    Value::Text(text) => to.text(text),
                    Value::Bytes(bytes) => to.text(&hex::encode(bytes)),
                }
            }
        });
    }
}

/// Positions of a table's columns in the order of their names, found once.
fn by_name(columns: &'static [ColumnSpec]) -> Arc<[usize]> {
    type Orders = RwLock<HashMap<usize, Arc<[usize]>>>;
    static KNOWN: LazyLock<Orders> = LazyLock::new(Orders::default);
    let table = columns.as_ptr() as usize;
    if let Some(order) = KNOWN.read().expect("no panic while held").get(&table) {
        return order.clone();
    }
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_unstable_by_key(|at| columns[*at].name);
    KNOWN.write().expect("no panic while held").entry(table).or_insert(order.into()).clone()
}

/// The members of an object being written.
pub struct Members<'a> {
    to: &'a mut Canonical,
    any: bool,
}

impl Members<'_> {
    /// Begins a member; its value is to be written next. Names are identifiers: nothing in them is escaped.
    pub fn member(&mut self, name: &str) -> &mut Canonical {
        debug_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        if std::mem::replace(&mut self.any, true) {
            self.to.out.push(b',');
        }
        self.to.out.push(b'"');
        self.to.out.extend_from_slice(name.as_bytes());
        self.to.out.extend_from_slice(b"\":");
        self.to
    }
}
