//! The statements that are generated from a table's column list, in each database's SQL. They are texts of
//! names from `TableSpec`s and placeholders only; values are always bound.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use jjj_domain::row::{ColumnSet, ColumnSpec, TableSpec};
use jjj_domain::value::{ColumnType, Value};

/// The most rows of one statement on SQLite: more bring nothing, and statements are kept prepared.
const MOST_ROWS: usize = 128;
/// … on PostgreSQL, where all rows of a statement are in memory at both ends, and one has only so long.
pub(crate) const MOST_ROWS_POSTGRES: usize = 16_384;
/// Above these, rows are written by so many more at a time: few sizes, and so few statements to keep, while a
/// small batch goes in one statement.
const ROWS_STEP: usize = 16;

/// The most parts of a statement that PostgreSQL runs [`Dialect::together`].
const MOST_TOGETHER: usize = 16;
/// Of so many combinations of parts that read, and as many that write, is kept that they came: [`Combinations`].
const MOST_COMBINATIONS: usize = 128;
/// The most rows of parts that go together: those of a whole day's run are better asked for table by table.
const MOST_ROWS_TOGETHER: usize = 8_192;

/// Which database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// Words that cannot name a column without quotes on one of the two.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "both",
    "by",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "commit",
    "constraint",
    "create",
    "cross",
    "default",
    "delete",
    "desc",
    "distinct",
    "do",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "index",
    "initially",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "leading",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "set",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "transaction",
    "true",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "values",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// A column or table name as SQL text.
pub(crate) fn name(text: &str) -> String {
    if RESERVED.contains(&text) { format!("\"{text}\"") } else { text.to_owned() }
}

pub(crate) fn names(texts: &[&str]) -> String {
    texts.iter().map(|t| name(t)).collect::<Vec<_>>().join(", ")
}

pub(crate) fn column_names(spec: &TableSpec) -> Vec<&'static str> {
    spec.columns.iter().map(|c| c.name).collect()
}

impl Dialect {
    /// A column's declared type.
    pub(crate) fn type_name(self, ty: ColumnType) -> &'static str {
        match (self, ty) {
            (Self::Sqlite, ColumnType::Int) => "INTEGER",
            (Self::Sqlite, ColumnType::Text) => "TEXT",
            (Self::Sqlite, ColumnType::Bytes) => "BLOB",
            (Self::Postgres, ColumnType::Int) => "BIGINT",
            // Bytewise order everywhere, the order in which keys are sorted and locked.
            (Self::Postgres, ColumnType::Text) => "TEXT COLLATE \"C\"",
            (Self::Postgres, ColumnType::Bytes) => "BYTEA",
        }
    }

    /// The database's clock in UTC microseconds, read when the statement runs.
    pub(crate) fn clock_us(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }

    /// `w(c0, c1, …, ord)`: the rows passed as parameters, from `$first` on, numbered from 0 or 1
    /// ([`Self::first_ord`]). SQLite takes all rows as one JSON text, PostgreSQL one array per column.
    fn rows(self, types: &[ColumnType], first: usize) -> String {
        match self {
            Self::Sqlite => {
                let mut text = "(SELECT key AS ord".to_owned();
                for (i, ty) in types.iter().enumerate() {
                    let _ = match ty {
                        ColumnType::Bytes => write!(text, ", unhex(value->>{i}) AS c{i}"),
                        _ => write!(text, ", value->>{i} AS c{i}"),
                    };
                }
                format!("{text} FROM json_each(${first})) AS w")
            }
            Self::Postgres => {
                let array = |(i, ty): (usize, &ColumnType)| match ty {
                    ColumnType::Int => format!("${}::bigint[]", first + i),
                    ColumnType::Text => format!("${}::text[]", first + i),
                    ColumnType::Bytes => format!("${}::bytea[]", first + i),
                };
                let arrays = types.iter().enumerate().map(array).collect::<Vec<_>>().join(", ");
                let columns = (0..types.len()).map(|i| format!("c{i}, ")).collect::<String>();
                format!("UNNEST({arrays}) WITH ORDINALITY AS w({columns}ord)")
            }
        }
    }

    /// The `ord` of the first passed row.
    pub(crate) fn first_ord(self) -> i64 {
        match self {
            Self::Sqlite => 0,
            Self::Postgres => 1,
        }
    }

    /// Rows to write, in the portions that one statement takes: on SQLite of few sizes, so that each
    /// statement is prepared once; on PostgreSQL usually all.
    pub(crate) fn portions<T>(self, mut rows: &[T]) -> Vec<&[T]> {
        let mut portions = Vec::new();
        while !rows.is_empty() {
            let count = match self {
                Self::Sqlite if rows.len() < ROWS_STEP => rows.len(),
                Self::Sqlite => MOST_ROWS.min(rows.len() / ROWS_STEP * ROWS_STEP),
                Self::Postgres => MOST_ROWS_POSTGRES.min(rows.len()),
            };
            let (portion, rest) = rows.split_at(count);
            portions.push(portion);
            rows = rest;
        }
        portions
    }

    /// The statement that loads rows by these columns, the table's key or one of its indexes.
    pub fn load_statement(self, spec: &'static TableSpec, columns: &'static [&'static str]) -> Arc<str> {
        self.statement(spec, Shape::Load { columns, nulls: 0 })
    }

    /// The statement, generated once per table, columns and dialect.
    pub(crate) fn statement(self, spec: &'static TableSpec, shape: Shape) -> Arc<str> {
        self.cached(spec, shape, 0)
    }

    /// The statement that writes one of the [`Self::portions`].
    pub(crate) fn write_statement(self, spec: &'static TableSpec, shape: Shape, rows: usize) -> Arc<str> {
        match self {
            // One list of values for each row; keys to be deleted come as JSON, however many.
            Self::Sqlite if shape != Shape::Delete => self.cached(spec, shape, rows),
            Self::Sqlite | Self::Postgres => self.cached(spec, shape, 0),
        }
    }

    fn cached(self, spec: &'static TableSpec, shape: Shape, rows: usize) -> Arc<str> {
        type Cache = RwLock<HashMap<(Dialect, &'static str, Shape, usize), Arc<str>>>;
        static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);
        let key = (self, spec.name, shape, rows);
        if let Some(text) = CACHE.read().expect("no panic while held").get(&key) {
            return text.clone();
        }
        let text: Arc<str> = self.generate(spec, shape, rows).into();
        CACHE.write().expect("no panic while held").insert(key, text.clone());
        text
    }

    fn generate(self, spec: &TableSpec, shape: Shape, rows: usize) -> String {
        match shape {
            Shape::Load { columns, nulls } => {
                let selected = column_names(spec).iter().map(|c| format!(", t.{}", name(c))).collect::<String>();
                format!("SELECT w.ord{selected} {}", self.matching(spec, columns, nulls, 1))
            }
            Shape::See { columns, shown } => {
                let selected = shown.iter().map(|c| format!("t.{}", name(c))).collect::<Vec<_>>().join(", ");
                format!("SELECT {selected} {}", self.matching(spec, columns, 0, 1))
            }
            Shape::Lock { exclusive } => self.locks(&[self.lock(spec, exclusive, 1)]),
            Shape::Insert
            | Shape::InsertIgnore
            | Shape::Claim
            | Shape::Upsert { .. }
            | Shape::Add { .. }
            | Shape::Delete => self.writing(spec, shape, rows, 1),
        }
    }

    /// Writes or deletes rows, of which the first value of the first is placeholder `$first`.
    fn writing(self, spec: &TableSpec, shape: Shape, rows: usize, first: usize) -> String {
        let insert = || self.insert("INSERT", spec, rows, first);
        match shape {
            // `OR FAIL`: SQLite keeps no statement journal. A conflict leaves the statement half done, which is
            // harmless: the transaction is then rolled back (`Session::failed`).
            Shape::Insert if self == Self::Sqlite => self.insert("INSERT OR FAIL", spec, rows, first),
            Shape::Insert => insert(),
            Shape::InsertIgnore => format!("{} ON CONFLICT ({}) DO NOTHING", insert(), names(spec.key)),
            Shape::Claim => {
                let (insert, key, now) = (insert(), names(spec.key), self.clock_us());
                format!("{insert} ON CONFLICT ({key}) DO NOTHING RETURNING {key}, {now}")
            }
            Shape::Upsert { changed } => {
                let set = |(_, c): (usize, &ColumnSpec)| format!("{0} = excluded.{0}", name(c.name));
                let set = spec.columns.iter().enumerate().filter(|(at, _)| changed.has(*at)).map(set);
                let set = set.collect::<Vec<_>>().join(", ");
                let action = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {set}") };
                format!("{} ON CONFLICT ({}) DO {action}", insert(), names(spec.key))
            }
            Shape::Add { sums } => {
                let add = |c: &&str| format!("{0} = {1}.{0} + excluded.{0}", name(c), name(spec.name));
                let set = sums.iter().map(add).collect::<Vec<_>>().join(", ");
                format!("{} ON CONFLICT ({}) DO UPDATE SET {set}", insert(), names(spec.key))
            }
            Shape::Delete => {
                let (table, types) = (name(spec.name), types_of(spec, spec.key));
                let rows = self.rows(&types, first);
                match self {
                    Self::Sqlite => {
                        let key = names(spec.key);
                        let wanted = (0..types.len()).map(|i| format!("w.c{i}")).collect::<Vec<_>>().join(", ");
                        format!("DELETE FROM {table} AS t WHERE ({key}) IN (SELECT {wanted} FROM {rows})")
                    }
                    Self::Postgres => {
                        let wanted = self.conditions(spec.key, 0);
                        format!("DELETE FROM {table} AS t USING {rows} WHERE {wanted}")
                    }
                }
            }
            Shape::Load { .. } | Shape::See { .. } | Shape::Lock { .. } => unreachable!("it reads"),
        }
    }

    fn lock(self, spec: &TableSpec, exclusive: bool, first: usize) -> String {
        let order = spec.key.iter().map(|c| format!("t.{}", name(c))).collect::<Vec<_>>().join(", ");
        let strength = if exclusive { "UPDATE" } else { "SHARE" };
        format!("SELECT w.ord {} ORDER BY {order} FOR {strength} OF t", self.matching(spec, spec.key, 0, first))
    }

    /// Locks in this order; then, when all are held, how many rows there were, and the clock.
    fn locks(self, texts: &[String]) -> String {
        let rows = texts.iter().map(|text| format!("SELECT l.ord FROM ({text}) AS l")).collect::<Vec<_>>();
        format!("SELECT COUNT(held.ord), {} FROM ({}) AS held", self.clock_us(), rows.join(" UNION ALL "))
    }

    /// Several [`Shape::Load`]s, several [`Shape::Lock`]s, or several that write, as one statement, run in this order.
    /// For PostgreSQL, where every statement is a way to the server and back. None of those that write sees what another
    /// of them writes: no two may write the same row. `None` of a part alone, and of a combination that has not come
    /// before.
    pub(crate) fn together(self, parts: &[Part]) -> Option<Arc<str>> {
        static READING: LazyLock<Mutex<Combinations>> = LazyLock::new(Mutex::default);
        static WRITING: LazyLock<Mutex<Combinations>> = LazyLock::new(Mutex::default);
        let [Part { shape, .. }, _, ..] = parts else { return None };
        let combinations = if shape.writes() { &WRITING } else { &READING };
        let parts_of = parts.iter().map(|part| (part.spec.name, part.shape)).collect();
        let make = || if shape.writes() { self.written_together(parts) } else { self.read_together(parts) };
        combinations.lock().unwrap_or_else(PoisonError::into_inner).statement(parts_of, make)
    }

    /// Of a load each row comes as its part's number, `ord`, and its integers, texts and bytes as three arrays: parts
    /// differ in their columns.
    fn read_together(self, parts: &[Part]) -> String {
        let text = |(number, (part, first)): (usize, (&Part, usize))| match part.shape {
            Shape::Load { columns, nulls } => {
                let array = |ty: ColumnType, sql: &str| {
                    let of_type = part.spec.columns.iter().filter(|c| c.ty == ty);
                    let cells = of_type.map(|c| format!("t.{}", name(c.name))).collect::<Vec<_>>().join(", ");
                    format!("ARRAY[{cells}]::{sql}[]")
                };
                let [ints, texts, bytes] = [
                    array(ColumnType::Int, "bigint"),
                    array(ColumnType::Text, "text"),
                    array(ColumnType::Bytes, "bytea"),
                ];
                let matching = self.matching(part.spec, columns, nulls, first);
                format!("SELECT {number}::bigint, w.ord, {ints}, {texts}, {bytes} {matching}")
            }
            Shape::Lock { exclusive } => self.lock(part.spec, exclusive, first),
            _ => unreachable!("what writes goes together with what writes"),
        };
        let texts: Vec<String> = numbered(parts).enumerate().map(text).collect();
        match parts[0].shape {
            Shape::Lock { .. } => self.locks(&texts),
            _ => texts.join(" UNION ALL "),
        }
    }

    /// The first part is the statement itself, the others are its `WITH`, the last part first: PostgreSQL runs what
    /// stands there after the statement, from the last to the first (`ExecPostprocessPlan`). Nothing but the order of
    /// locks rests on that, and who meets in a deadlock tries again.
    fn written_together(self, parts: &[Part]) -> String {
        let mut texts = numbered(parts).map(|(part, first)| self.writing(part.spec, part.shape, 0, first));
        let statement = texts.next().expect("two parts or more");
        let mut others: Vec<String> = texts.enumerate().map(|(n, text)| format!("p{n} AS ({text})")).collect();
        others.reverse();
        format!("WITH {} {statement}", others.join(", "))
    }

    /// `FROM` and `WHERE` that join passed values with the table, values first: the
    /// table is always entered by the index. (`CROSS JOIN` fixes the order on SQLite,
    /// the write pool's planner settings on PostgreSQL.)
    fn matching(self, spec: &TableSpec, columns: &[&str], nulls: u32, first: usize) -> String {
        let types = types_of(spec, columns);
        let conditions = self.conditions(columns, nulls);
        format!("FROM {} CROSS JOIN {} AS t WHERE {conditions}", self.rows(&types, first), name(spec.name))
    }

    fn conditions(self, columns: &[&str], nulls: u32) -> String {
        let condition = |(i, c): (usize, &&str)| match nulls & (1 << i) {
            0 => format!("t.{} = w.c{i}", name(c)),
            _ => format!("t.{} IS NULL", name(c)),
        };
        columns.iter().enumerate().map(condition).collect::<Vec<_>>().join(" AND ")
    }

    /// SQLite takes the rows as so many lists of values, which costs it a third less than taking JSON
    /// apart; PostgreSQL one array per column, in whose order it inserts.
    fn insert(self, verb: &str, spec: &TableSpec, rows: usize, first: usize) -> String {
        let columns = inserted(spec);
        let listed = columns.iter().map(|c| name(c.name)).collect::<Vec<_>>().join(", ");
        let table = name(spec.name);
        match self {
            Self::Sqlite => {
                let row = format!("({})", vec!["?"; columns.len()].join(", "));
                format!("{verb} INTO {table} ({listed}) VALUES {}", vec![row; rows].join(", "))
            }
            Self::Postgres => {
                let values = (0..columns.len()).map(|i| format!("w.c{i}")).collect::<Vec<_>>().join(", ");
                let types = columns.iter().map(|c| c.ty).collect::<Vec<_>>();
                format!(
                    "{verb} INTO {table} ({listed}) SELECT {values} FROM {} ORDER BY w.ord",
                    self.rows(&types, first)
                )
            }
        }
    }
}

/// The columns an insert passes: all, except a number that the database draws.
pub(crate) fn inserted(spec: &TableSpec) -> &'static [ColumnSpec] {
    match crate::schema::extras(spec.name).identity {
        true => &spec.columns[1..],
        false => spec.columns,
    }
}

pub(crate) fn types_of(spec: &TableSpec, columns: &[&str]) -> Vec<ColumnType> {
    columns.iter().map(|c| spec.columns[spec.column(c).expect("a spec names its own columns")].ty).collect()
}

/// Combinations of parts that came lately, with the statements of those that came more than once. The others are asked for
/// part by part: chance brings many together, and the plan of each takes up to a megabyte in each of the server's
/// processes.
///
/// In two generations, as [`jjj_domain::snapshot::Recent`].
#[derive(Default)]
struct Combinations {
    young: HashMap<Vec<(&'static str, Shape)>, Option<Arc<str>>>,
    old: HashMap<Vec<(&'static str, Shape)>, Option<Arc<str>>>,
}

impl Combinations {
    fn statement(&mut self, of: Vec<(&'static str, Shape)>, make: impl FnOnce() -> String) -> Option<Arc<str>> {
        if let Some(Some(statement)) = self.young.get(&of) {
            return Some(statement.clone());
        }
        let known = self.young.remove(&of).or_else(|| self.old.remove(&of));
        let statement = known.map(|statement| statement.unwrap_or_else(|| make().into()));
        if self.young.len() == MOST_COMBINATIONS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(of, statement.clone());
        statement
    }
}

/// One of several statements that go [`Dialect::together`]: a load, a lock or one that writes, and the rows of values it
/// is asked for or is to write.
pub(crate) struct Part<'a> {
    pub spec: &'static TableSpec,
    pub shape: Shape,
    pub rows: Vec<&'a [Value]>,
}

/// Parts in the statements that take them, in order.
pub(crate) fn bundles<'p, 'a>(mut parts: &'p [Part<'a>]) -> Vec<&'p [Part<'a>]> {
    let mut bundles = Vec::new();
    while !parts.is_empty() {
        let sums = parts.iter().scan(0, |sum, part| {
            *sum += part.rows.len();
            Some(*sum)
        });
        let count = sums.take(MOST_TOGETHER).take_while(|sum| *sum <= MOST_ROWS_TOGETHER).count().max(1);
        let (bundle, rest) = parts.split_at(count);
        bundles.push(bundle);
        parts = rest;
    }
    bundles
}

/// Each part with the number of its first placeholder.
fn numbered<'p, 'a>(parts: &'p [Part<'a>]) -> impl Iterator<Item = (&'p Part<'a>, usize)> {
    parts.iter().scan(1, |next, part| {
        let first = *next;
        *next += part.types().len();
        Some((part, first))
    })
}

impl<'a> Part<'a> {
    /// Whole rows to be written, or keys of rows to be deleted.
    pub fn of(spec: &'static TableSpec, shape: Shape, rows: impl IntoIterator<Item = &'a [Value]>) -> Self {
        let drawn = if shape == Shape::Delete { 0 } else { spec.columns.len() - inserted(spec).len() };
        Self { spec, shape, rows: rows.into_iter().map(|row| &row[drawn..]).collect() }
    }

    /// Of the values of a row.
    pub fn types(&self) -> Vec<ColumnType> {
        match self.shape {
            Shape::Load { columns, .. } | Shape::See { columns, .. } => types_of(self.spec, columns),
            Shape::Lock { .. } | Shape::Delete => types_of(self.spec, self.spec.key),
            Shape::Insert | Shape::InsertIgnore | Shape::Claim | Shape::Upsert { .. } | Shape::Add { .. } => {
                inserted(self.spec).iter().map(|c| c.ty).collect()
            }
        }
    }
}

/// A generated statement's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// Rows whose columns equal passed values; bit `i` of `nulls`: column `i` is asked for as NULL.
    Load {
        columns: &'static [&'static str],
        nulls: u32,
    },
    /// Some columns of such rows, by values none of which is NULL.
    See {
        columns: &'static [&'static str],
        shown: &'static [&'static str],
    },
    /// Locks rows by key, in key order. PostgreSQL only.
    Lock {
        exclusive: bool,
    },
    /// Deletes rows by key.
    Delete,
    Insert,
    InsertIgnore,
    /// Inserts what is new and tells the keys that were, each with the database's clock. PostgreSQL only.
    Claim,
    /// Inserts, or changes these columns of the row with the same key.
    Upsert {
        changed: ColumnSet,
    },
    /// Inserts, or adds to the named columns of the row with the same key.
    Add {
        sums: &'static [&'static str],
    },
}

impl Shape {
    /// Whether it changes its table.
    fn writes(self) -> bool {
        match self {
            Self::Insert | Self::InsertIgnore | Self::Claim | Self::Upsert { .. } | Self::Add { .. } | Self::Delete => {
                true
            }
            Self::Load { .. } | Self::See { .. } | Self::Lock { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::ledger::AccountRow;
    use jjj_domain::row::Row;

    use super::*;
    use crate::log_tables::{FrontierRow, RequestRow};

    #[test]
    fn parts_go_together_while_they_are_few_and_small() {
        let row: [Value; 1] = [Value::Int(1)];
        let sizes = |wanted: &[usize]| {
            let part = |count: &usize| Part {
                spec: AccountRow::spec(),
                shape: Shape::Lock { exclusive: true },
                rows: vec![&row[..]; *count],
            };
            let parts: Vec<Part> = wanted.iter().map(part).collect();
            bundles(&parts).iter().map(|bundle| bundle.len()).collect::<Vec<_>>()
        };
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[1; 40]), [16, 16, 8]);
        assert_eq!(sizes(&[8_000, 192, 1]), [2, 1]);
        assert_eq!(sizes(&[1, 1_000_000, 1, 1]), [1, 1, 2], "a whole day's by themselves");
    }

    #[test]
    fn what_comes_again_goes_together_and_what_chance_brings_does_not() {
        let mut combinations = Combinations::default();
        let mut comes = |table: String, n: usize| {
            let of = vec![("accounts", Shape::Insert), (&*table.leak(), Shape::Lock { exclusive: true })];
            combinations.statement(of, || format!("made at {n}")).map(|statement| statement.to_string())
        };
        assert_eq!(comes("usual".into(), 0), None);
        for n in 1..1_000 {
            assert_eq!(comes("usual".into(), n).as_deref(), Some("made at 1"));
            assert_eq!(comes(format!("once {n}"), n), None);
        }
        assert_eq!(comes("once 999".into(), 1_000).as_deref(), Some("made at 1000"), "it came again");
        assert_eq!(comes("once 700".into(), 1_000), None, "and this too late");
        assert!(combinations.young.len() <= MOST_COMBINATIONS && combinations.old.len() <= MOST_COMBINATIONS);
    }

    #[test]
    fn what_writes_goes_together_as_it_would_alone_the_last_named_first() {
        let row: [Value; 3] = [Value::Int(1), Value::Int(2), Value::Text("c".into())];
        let part = |spec, shape| Part::of(spec, shape, [&row[..]]);
        let changed = ColumnSet::beside_key(FrontierRow::spec());
        let parts = [
            part(FrontierRow::spec(), Shape::Insert),
            part(FrontierRow::spec(), Shape::Upsert { changed }),
            part(RequestRow::spec(), Shape::Delete),
        ];
        assert_eq!(
            Dialect::Postgres.written_together(&parts),
            "WITH p1 AS (DELETE FROM requests AS t USING UNNEST($7::text[], $8::text[]) WITH ORDINALITY AS w(c0, c1, ord) \
             WHERE t.participant = w.c0 AND t.request_id = w.c1), \
             p0 AS (INSERT INTO log_frontier (id, tree_size, frontier) SELECT w.c0, w.c1, w.c2 \
             FROM UNNEST($4::bigint[], $5::bigint[], $6::text[]) WITH ORDINALITY AS w(c0, c1, c2, ord) ORDER BY w.ord \
             ON CONFLICT (id) DO UPDATE SET tree_size = excluded.tree_size, frontier = excluded.frontier) \
             INSERT INTO log_frontier (id, tree_size, frontier) SELECT w.c0, w.c1, w.c2 \
             FROM UNNEST($1::bigint[], $2::bigint[], $3::text[]) WITH ORDINALITY AS w(c0, c1, c2, ord) ORDER BY w.ord"
        );
    }

    #[test]
    fn rows_are_written_in_few_sizes_and_in_order() {
        let mut sizes = std::collections::BTreeSet::new();
        for count in 0..600 {
            let rows: Vec<usize> = (0..count).collect();
            let portions = Dialect::Sqlite.portions(&rows);
            assert!(portions.len() <= count / MOST_ROWS + 2, "{count}");
            sizes.extend(portions.iter().map(|p| p.len()));
            assert_eq!(portions.concat(), rows);
            assert_eq!(Dialect::Postgres.portions(&rows).concat(), rows);
        }
        assert_eq!(sizes.len(), ROWS_STEP - 1 + MOST_ROWS / ROWS_STEP);
        assert_eq!(Dialect::Postgres.portions(&[0; 500]).len(), 1);
    }
}
