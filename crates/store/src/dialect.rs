//! Everything in which SQLite and PostgreSQL differ, and the statements that are
//! generated from a table's column list. Statements are texts of names from
//! `TableSpec`s and placeholders only; values are always bound.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, RwLock};

use jjj_domain::row::TableSpec;
use jjj_domain::value::ColumnType;

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
    pub(crate) fn now_us(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Self::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }

    /// `w(c0, c1, …, ord)`: the rows passed as parameters, numbered from 0 or 1
    /// ([`Self::first_ord`]). SQLite takes all rows as one JSON text, PostgreSQL one array per column.
    fn rows(self, types: &[ColumnType]) -> String {
        match self {
            Self::Sqlite => {
                let mut text = "(SELECT key AS ord".to_owned();
                for (i, ty) in types.iter().enumerate() {
                    let _ = match ty {
                        ColumnType::Bytes => write!(text, ", unhex(value->>{i}) AS c{i}"),
                        _ => write!(text, ", value->>{i} AS c{i}"),
                    };
                }
                text + " FROM json_each($1)) AS w"
            }
            Self::Postgres => {
                let array = |(i, ty): (usize, &ColumnType)| match ty {
                    ColumnType::Int => format!("${}::bigint[]", i + 1),
                    ColumnType::Text => format!("${}::text[]", i + 1),
                    ColumnType::Bytes => format!("${}::bytea[]", i + 1),
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

    /// Keeps the order in which rows were passed. `json_each` walks an array in order by itself.
    fn in_passed_order(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " ORDER BY w.ord",
        }
    }

    /// The statement that loads rows by these columns, the table's key or one of its indexes.
    pub fn load_statement(self, spec: &'static TableSpec, columns: &'static [&'static str]) -> Arc<str> {
        self.statement(spec, Shape::Load { columns, nulls: 0 })
    }

    /// The statement, generated once per table, columns and dialect.
    pub(crate) fn statement(self, spec: &'static TableSpec, shape: Shape) -> Arc<str> {
        type Cache = RwLock<HashMap<(Dialect, &'static str, Shape), Arc<str>>>;
        static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);
        let key = (self, spec.name, shape);
        if let Some(text) = CACHE.read().expect("no panic while held").get(&key) {
            return text.clone();
        }
        let text: Arc<str> = self.generate(spec, shape).into();
        CACHE.write().expect("no panic while held").insert(key, text.clone());
        text
    }

    fn generate(self, spec: &TableSpec, shape: Shape) -> String {
        match shape {
            Shape::Load { columns, nulls } => {
                let selected = column_names(spec).iter().map(|c| format!(", t.{}", name(c))).collect::<String>();
                format!("SELECT w.ord{selected} {}", self.matching(spec, columns, nulls))
            }
            Shape::Lock { exclusive } => {
                let order = spec.key.iter().map(|c| format!("t.{}", name(c))).collect::<Vec<_>>().join(", ");
                let strength = if exclusive { "UPDATE" } else { "SHARE" };
                format!("SELECT w.ord {} ORDER BY {order} FOR {strength} OF t", self.matching(spec, spec.key, 0))
            }
            Shape::Delete => {
                let wanted = self.conditions(spec.key, 0);
                let types = types_of(spec, spec.key);
                match self {
                    Self::Sqlite => format!(
                        "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM {})",
                        name(spec.name),
                        names(spec.key),
                        (0..types.len()).map(|i| format!("w.c{i}")).collect::<Vec<_>>().join(", "),
                        self.rows(&types),
                    ),
                    Self::Postgres => {
                        format!("DELETE FROM {} AS t USING {} WHERE {wanted}", name(spec.name), self.rows(&types))
                    }
                }
            }
            Shape::Insert => self.insert(spec),
            Shape::InsertIgnore => format!("{} ON CONFLICT ({}) DO NOTHING", self.insert(spec), names(spec.key)),
            Shape::Claim => {
                format!("{} ON CONFLICT ({1}) DO NOTHING RETURNING {1}", self.insert(spec), names(spec.key))
            }
            Shape::Upsert => {
                let others = column_names(spec).into_iter().filter(|c| !spec.key.contains(c));
                let set = others.map(|c| format!("{0} = excluded.{0}", name(c))).collect::<Vec<_>>().join(", ");
                let action = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {set}") };
                format!("{} ON CONFLICT ({}) DO {action}", self.insert(spec), names(spec.key))
            }
            Shape::Add { sums } => {
                let add = |c: &&str| format!("{0} = {1}.{0} + excluded.{0}", name(c), name(spec.name));
                let set = sums.iter().map(add).collect::<Vec<_>>().join(", ");
                format!("{} ON CONFLICT ({}) DO UPDATE SET {set}", self.insert(spec), names(spec.key))
            }
        }
    }

    /// `FROM` and `WHERE` that join passed values with the table, values first: the
    /// table is always entered by the index. (`CROSS JOIN` fixes the order on SQLite,
    /// the write pool's planner settings on PostgreSQL.)
    fn matching(self, spec: &TableSpec, columns: &[&str], nulls: u32) -> String {
        let types = types_of(spec, columns);
        let conditions = self.conditions(columns, nulls);
        format!("FROM {} CROSS JOIN {} AS t WHERE {conditions}", self.rows(&types), name(spec.name))
    }

    fn conditions(self, columns: &[&str], nulls: u32) -> String {
        let condition = |(i, c): (usize, &&str)| match nulls & (1 << i) {
            0 => format!("t.{} = w.c{i}", name(c)),
            _ => format!("t.{} IS NULL", name(c)),
        };
        columns.iter().enumerate().map(condition).collect::<Vec<_>>().join(" AND ")
    }

    fn insert(self, spec: &TableSpec) -> String {
        let columns = inserted(spec);
        let types = columns.iter().map(|c| c.ty).collect::<Vec<_>>();
        let listed = columns.iter().map(|c| name(c.name)).collect::<Vec<_>>().join(", ");
        let values = (0..types.len()).map(|i| format!("w.c{i}")).collect::<Vec<_>>().join(", ");
        // `WHERE true` tells SQLite's parser that what follows is not a join's `ON`.
        let table = name(spec.name);
        let order = self.in_passed_order();
        format!("INSERT INTO {table} ({listed}) SELECT {values} FROM {} WHERE true{order}", self.rows(&types))
    }
}

/// The columns an insert passes: all, except a number that the database draws.
pub(crate) fn inserted(spec: &TableSpec) -> &'static [jjj_domain::row::ColumnSpec] {
    match crate::schema::extras(spec.name).identity {
        true => &spec.columns[1..],
        false => spec.columns,
    }
}

pub(crate) fn types_of(spec: &TableSpec, columns: &[&str]) -> Vec<ColumnType> {
    columns.iter().map(|c| spec.columns[spec.column(c).expect("a spec names its own columns")].ty).collect()
}

/// A generated statement's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// Rows whose columns equal passed values; bit `i` of `nulls`: column `i` is asked for as NULL.
    Load {
        columns: &'static [&'static str],
        nulls: u32,
    },
    /// Locks rows by key, in key order. PostgreSQL only.
    Lock {
        exclusive: bool,
    },
    /// Deletes rows by key.
    Delete,
    Insert,
    InsertIgnore,
    /// Inserts what is new and tells the keys that were.
    Claim,
    /// Inserts, or replaces the row with the same key.
    Upsert,
    /// Inserts, or adds to the named columns of the row with the same key.
    Add {
        sums: &'static [&'static str],
    },
}
