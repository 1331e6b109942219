//! Tables as data. One `table!` declaration gives the typed row, the column list
//! from which the store generates its SQL, and what a leaf commits to.

use std::any::Any;
use std::sync::Arc;

use crate::value::{ColumnType, Value};

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec {
    pub name: &'static str,
    pub ty: ColumnType,
    pub nullable: bool,
    /// Allowed texts, empty for any.
    pub choices: &'static [&'static str],
}

/// Some of the columns of a table of at most 64 columns, by their positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ColumnSet(u64);

impl ColumnSet {
    /// All columns but those of the key.
    pub fn beside_key(spec: &TableSpec) -> Self {
        let at = |c: &ColumnSpec| !spec.key.contains(&c.name);
        Self::of((0..).zip(spec.columns).filter(|(_, c)| at(c)).map(|(at, _)| at))
    }

    /// The columns in which two rows differ.
    pub fn differing(one: &[Value], other: &[Value]) -> Self {
        Self::of((0..).zip(one.iter().zip(other)).filter(|(_, (a, b))| a != b).map(|(at, _)| at))
    }

    fn of(positions: impl Iterator<Item = usize>) -> Self {
        Self(positions.fold(0, |set, at| set | 1 << at))
    }

    pub fn has(self, at: usize) -> bool {
        self.0 & 1 << at != 0
    }

    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }
}

/// How a table's rows come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// The current state of something; rewritten by later leaves.
    Head,
    /// Written once. The database refuses updates and deletes.
    AppendOnly,
    /// A head whose leaf holds only a salted commitment per person, so that the person can be
    /// erased (DESIGN.md §5 "Privacy"). The first key column must be preceded by a `person` column.
    Private,
    /// Computed from other rows (account balances); in no leaf, recomputed by `jjj verify`.
    Derived,
}

/// Rows of another table that let participants read: each row lets the participant in its column
/// `reader` read the rows with the same value in `on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadThrough {
    pub table: &'static str,
    /// A column of both tables; an index of the other.
    pub on: &'static str,
    pub reader: &'static str,
}

/// A table's whole description.
#[derive(Debug)]
pub struct TableSpec {
    pub name: &'static str,
    /// First doc line; becomes the comment in the migration.
    pub doc: &'static str,
    pub kind: TableKind,
    pub columns: &'static [ColumnSpec],
    pub key: &'static [&'static str],
    /// Column groups by which rows are listed and loaded; each is a database index. One nullable column alone is never
    /// looked up by NULL: on SQLite its index has no such rows.
    pub indexes: &'static [&'static [&'static str]],
    /// Column groups of which the database holds each value once (NULL is no value): the
    /// backstop of rules that rest on absence and have no row to lock.
    pub unique: &'static [&'static [&'static str]],
    /// Columns naming the participants who may read a row; empty: every participant may.
    pub readers: &'static [&'static str],
    /// A further table whose rows name readers: nothing, or one entry.
    pub readers_through: &'static [ReadThrough],
    pub parse: ParseRow,
    pub unparse: UnparseRow,
}

/// Makes a typed row of a table's values, behind `Any`.
pub type ParseRow = fn(Vec<Value>) -> Result<Arc<dyn Any + Send + Sync>, StoredFault>;

/// A typed row's values, out of `Any`.
pub type UnparseRow = fn(&(dyn Any + Send + Sync)) -> Vec<Value>;

/// Tables are statics: the same name is the same table.
impl PartialEq for TableSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for TableSpec {}

impl TableSpec {
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The key columns' values out of a whole row.
    pub fn key_of(&self, values: &[Value]) -> Vec<Value> {
        self.pick(self.key, values)
    }

    /// The named columns' values out of a whole row.
    pub fn pick(&self, names: &[&'static str], values: &[Value]) -> Vec<Value> {
        names.iter().map(|n| values[self.column(n).expect("a spec names its own columns")].clone()).collect()
    }
}

/// Stored data that does not parse: never the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}, column {column}: {problem}")]
pub struct StoredFault {
    pub table: &'static str,
    pub column: &'static str,
    pub problem: String,
}

/// A typed row of a table.
pub trait Row: Any + Send + Sync + Clone + Sized {
    fn spec() -> &'static TableSpec;
    fn to_values(&self) -> Vec<Value>;
    fn from_values(values: Vec<Value>) -> Result<Self, StoredFault>;
}

/// Declares a table: struct, columns, key, indexes, readers.
#[macro_export]
macro_rules! table {
    (
        #[doc = $doc:literal] $(#[$m:meta])*
        pub struct $Name:ident in $table:literal, $kind:ident
        key [$($key:ident),+] $(index [$($ix:ident),+])* $(unique [$($uq:ident),+])* readers [$($reader:ident),*]
        $(through $through:literal [$on:ident, $through_reader:ident])?
        { $( $(#[$fm:meta])* pub $f:ident : $t:ty ),+ $(,)? }
    ) => {
        #[doc = $doc] $(#[$m])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Name { $( $(#[$fm])* pub $f : $t ),+ }

        impl $crate::row::Row for $Name {
            fn spec() -> &'static $crate::row::TableSpec {
                static SPEC: $crate::row::TableSpec = $crate::row::TableSpec {
                    name: $table,
                    doc: $doc,
                    kind: $crate::row::TableKind::$kind,
                    columns: &[$( $crate::row::ColumnSpec {
                        name: stringify!($f),
                        ty: <$t as $crate::value::Column>::TYPE,
                        nullable: <$t as $crate::value::Column>::NULLABLE,
                        choices: <$t as $crate::value::Column>::CHOICES,
                    } ),+],
                    key: &[$(stringify!($key)),+],
                    indexes: &[$( &[$(stringify!($ix)),+] ),*],
                    unique: &[$( &[$(stringify!($uq)),+] ),*],
                    readers: &[$(stringify!($reader)),*],
                    readers_through: &[$($crate::row::ReadThrough {
                        table: $through,
                        on: stringify!($on),
                        reader: stringify!($through_reader),
                    })?],
                    parse: |values| {
                        <$Name as $crate::row::Row>::from_values(values)
                            .map(|row| std::sync::Arc::new(row) as std::sync::Arc<dyn std::any::Any + Send + Sync>)
                    },
                    unparse: |row| {
                        let row = row.downcast_ref::<$Name>().expect("a table has one row type");
                        <$Name as $crate::row::Row>::to_values(row)
                    },
                };
                &SPEC
            }
            fn to_values(&self) -> Vec<$crate::value::Value> {
                vec![$( <$t as $crate::value::Column>::to_value(&self.$f) ),+]
            }
            fn from_values(values: Vec<$crate::value::Value>) -> Result<Self, $crate::row::StoredFault> {
                let mut values = values.into_iter();
                Ok(Self { $( $f: {
                    let value = values.next().unwrap_or($crate::value::Value::Null);
                    <$t as $crate::value::Column>::from_value(value).map_err(|problem| $crate::row::StoredFault {
                        table: $table, column: stringify!($f), problem,
                    })?
                } ),+ })
            }
        }
    };
}

/// A key or index value list: `key![rating, version]`.
#[macro_export]
macro_rules! key {
    ($($e:expr),+ $(,)?) => { vec![$( $crate::value::Column::to_value(&$e) ),+] };
}
