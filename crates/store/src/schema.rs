//! The schema as text, generated from the tables. `cargo run -p jjj-store --example migration`
//! writes it into `migrations/`; a test compares.

use std::fmt::Write as _;

use jjj_domain::row::{TableKind, TableSpec};

use crate::dialect::{Dialect, name, names};

/// Every table of the database: the domain's, then the log's.
pub fn tables() -> Vec<&'static TableSpec> {
    let mut tables = jjj_domain::tables::all();
    tables.extend(crate::log_tables::all());
    tables
}

/// What a table has beyond its column list.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extras {
    /// The key is one integer that the database draws.
    pub(crate) identity: bool,
    pub(crate) unique: &'static [&'static [&'static str]],
    /// Conditions with the reason for each.
    pub(crate) checks: &'static [(&'static str, &'static str)],
    /// Indexes over some rows only: columns, which rows, what for.
    pub(crate) partial: &'static [(&'static [&'static str], &'static str, &'static str)],
    /// Rows too large to be kept in the key's tree (SQLite).
    pub(crate) large: bool,
}

pub(crate) fn extras(table: &str) -> Extras {
    let none = Extras::default();
    match table {
        "transfers" => Extras {
            checks: &[
                ("amount_fen > 0", "A transfer moves something."),
                ("debit <> credit", "From one account to another."),
            ],
            ..none
        },
        "payments" => Extras {
            partial: &[(
                &["recorded_at_us", "payment"],
                "state = 'RESERVED'",
                "Walked by the queries' timer: as long as there are reservations, whatever the history.",
            )],
            ..none
        },
        "leaf_pending" => Extras { identity: true, ..none },
        "leaves" => Extras { unique: &[&["record", "version"]], large: true, ..none },
        "leaf_order" => Extras { unique: &[&["leaf_id"]], ..none },
        "log_frontier" => Extras { checks: &[("id = 1", "There is one log.")], ..none },
        "evidence" | "file_chunks" => Extras { large: true, ..none },
        _ => none,
    }
}

/// The first migration: every table with its comment, keys, checks, indexes and triggers.
pub fn initial_migration(dialect: Dialect) -> String {
    let mut sql = String::from(
        "-- Generated from the tables' declarations by\n--   cargo run -p jjj-store --example migration\n\
         -- Amounts are fen, times UTC microseconds, digests lower-case hex.\n",
    );
    if dialect == Dialect::Postgres {
        sql.push_str(REFUSE_CHANGE);
    }
    for spec in tables() {
        sql.push_str(&table(spec, dialect));
    }
    sql
}

const REFUSE_CHANGE: &str = "
-- What is written once stays as it is: corrections are new rows.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'JJJ01';
END
$$;
";

fn table(spec: &TableSpec, dialect: Dialect) -> String {
    let extras = extras(spec.name);
    let mut lines = Vec::new();
    for column in spec.columns {
        let mut line = match (extras.identity && spec.key == [column.name], dialect) {
            (true, Dialect::Sqlite) => format!("{} INTEGER PRIMARY KEY AUTOINCREMENT", name(column.name)),
            (true, Dialect::Postgres) => {
                format!("{} BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", name(column.name))
            }
            _ => format!("{} {}", name(column.name), dialect.type_name(column.ty)),
        };
        if !column.nullable {
            line.push_str(" NOT NULL");
        }
        if !column.choices.is_empty() {
            let _ = write!(line, " CHECK ({} IN ({}))", name(column.name), choices(column.choices));
        }
        lines.push(line);
    }
    if !extras.identity {
        lines.push(format!("PRIMARY KEY ({})", names(spec.key)));
    }
    let unique = || extras.unique.iter().chain(spec.unique);
    lines.extend(unique().map(|columns| format!("UNIQUE ({})", names(columns))));
    let plain = lines.len();
    lines.extend(extras.checks.iter().map(|(condition, _)| format!("CHECK ({condition})")));
    let body = lines.iter().enumerate().map(|(i, line)| {
        let comma = if i + 1 < lines.len() { "," } else { "" };
        let why = i.checked_sub(plain).map_or(String::new(), |c| format!(" -- {}", extras.checks[c].1));
        format!("    {line}{comma}{why}\n")
    });
    let options = match (dialect, extras.large || extras.identity) {
        (Dialect::Postgres, _) => "",
        (Dialect::Sqlite, true) => " STRICT",
        (Dialect::Sqlite, false) => " STRICT, WITHOUT ROWID",
    };
    let table = name(spec.name);
    let mut sql =
        format!("\n--{}\nCREATE TABLE {table} (\n{}){options};\n", spec.doc.trim_end(), body.collect::<String>());
    for columns in spec.indexes {
        if unique().any(|u| u == columns) || spec.key.starts_with(columns) {
            continue;
        }
        // The key after the columns: pages come in the index's own order, unsorted.
        let key = spec.key.iter().filter(|c| !columns.contains(c)).copied();
        let all: Vec<&str> = columns.iter().copied().chain(key).collect();
        let index = index_name(spec.name, columns);
        // Nothing is looked up by NULL here, so rows without a value need no entry. (PostgreSQL, without statistics,
        // would take such an index for so small that it reads all of it.)
        let is_nullable = |column: &str| spec.columns.iter().any(|c| c.name == column && c.nullable);
        let condition = match (dialect, *columns) {
            (Dialect::Sqlite, [only]) if is_nullable(only) => format!(" WHERE {} IS NOT NULL", name(only)),
            _ => String::new(),
        };
        let _ = write!(
            sql,
            "-- Loaded and listed by {}, in the order of the key.\nCREATE INDEX {index} ON {table} ({}){condition};\n",
            columns.join(" and "),
            names(&all)
        );
    }
    for (columns, condition, why) in extras.partial {
        let index = index_name(spec.name, columns);
        let _ = write!(sql, "-- {why}\nCREATE INDEX {index} ON {table} ({}) WHERE {condition};\n", names(columns));
    }
    if spec.kind == TableKind::AppendOnly {
        sql.push_str(&append_only(spec.name, dialect));
    }
    sql
}

/// The quoted texts, wrapped when they are many.
fn choices(texts: &[&str]) -> String {
    let mut wrapped = String::new();
    let mut width = 0;
    for (i, text) in texts.iter().enumerate() {
        let separator = match i {
            0 => "",
            _ if width + text.len() > 80 => ",\n        ",
            _ => ", ",
        };
        width = if separator.contains('\n') { 0 } else { width } + text.len() + 4;
        let _ = write!(wrapped, "{separator}'{text}'");
    }
    wrapped
}

/// PostgreSQL cuts names at 63 bytes.
fn index_name(table: &str, columns: &[&str]) -> String {
    let mut text = format!("{table}_by_{}", columns.join("_"));
    text.truncate(63);
    text
}

fn append_only(table: &str, dialect: Dialect) -> String {
    let named = name(table);
    match dialect {
        Dialect::Sqlite => ["UPDATE", "DELETE"]
            .iter()
            .map(|what| {
                let trigger = format!("{table}_no_{}", what.to_lowercase());
                format!(
                    "CREATE TRIGGER {trigger} BEFORE {what} ON {named}\n\
                     BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;\n"
                )
            })
            .collect(),
        Dialect::Postgres => format!(
            "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {named}\n    \
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();\n"
        ),
    }
}
