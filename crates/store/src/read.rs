//! Reading rows of any table: by key, by filter page by page, for a decision, for a report.

use std::collections::BTreeMap;

use jjj_domain::ledger::{AccountKind, Book, Layer};
use jjj_domain::row::{Row, StoredFault, TableSpec};
use jjj_domain::snapshot::{Known, Load, Snapshot};
use jjj_domain::time::{Month, Timestamp};
use jjj_domain::value::{Column, ColumnType, Value};

use crate::Result;
use crate::dialect::{Dialect, Part, Shape, bundles, column_names, name, names, types_of};
use crate::session::{Args, Session};

/// A comparison of a filter. `Eq` with [`Value::Null`] asks for NULL, `Ne` for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// One condition of a filter: all must hold.
pub type Predicate = (&'static str, Op, Value);

/// A page of a table, ordered by key.
#[derive(Clone, Debug, Default)]
pub struct ListQuery<'a> {
    pub predicates: Vec<Predicate>,
    /// Only rows that this participant may read (its name is in one of the table's
    /// reader columns). `None`, or a table without reader columns: all rows.
    pub reader: Option<&'a str>,
    /// Rows after this key: the last of the page before.
    pub after_key: Option<Vec<Value>>,
    /// At most so many rows.
    pub limit: i64,
}

impl ListQuery<'_> {
    /// The statement that reads the page, and its arguments.
    pub fn statement(&self, spec: &TableSpec) -> (String, Vec<Value>) {
        let mut args = Vec::new();
        let conditions = filter(spec, self, &mut args);
        args.push(Value::Int(self.limit));
        let (columns, key) = (names(&column_names(spec)), names(spec.key));
        let table = name(spec.name);
        (format!("SELECT {columns} FROM {table}{conditions} ORDER BY {key} LIMIT ${}", args.len()), args)
    }
}

/// One line of a trial balance: both sides of one account kind, in fen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrialBalanceRow {
    pub book: Book,
    pub booking_month: Month,
    pub layer: Layer,
    pub kind: AccountKind,
    pub debit_fen: i64,
    pub credit_fen: i64,
}

impl Session {
    /// The database's clock.
    pub async fn now(&mut self) -> Result<Timestamp> {
        let sql = format!("SELECT {}", self.dialect().clock_us());
        Ok(Timestamp(self.int(sql, &[]).await?.unwrap_or_default()))
    }

    /// One row by its key.
    pub async fn get<T: Row>(&mut self, key: Vec<Value>) -> Result<Option<T>> {
        let found = self.load_keys(T::spec(), &[&key]).await?.pop();
        Ok(found.map(T::from_values).transpose()?)
    }

    /// One page of a table, typed.
    pub async fn list<T: Row>(&mut self, query: &ListQuery<'_>) -> Result<Vec<T>> {
        let rows = self.list_values(T::spec(), query).await?;
        rows.into_iter().map(|values| Ok(T::from_values(values)?)).collect()
    }

    /// One page of any table, as stored.
    pub async fn list_values(&mut self, spec: &'static TableSpec, query: &ListQuery<'_>) -> Result<Vec<Vec<Value>>> {
        let (sql, args) = query.statement(spec);
        let types = types_of(spec, &column_names(spec));
        self.fetch(sql.into(), Args::Values(&args), &types).await
    }

    /// The rows after a key, as stored: `jjj verify` goes through whole tables in bounded memory.
    pub async fn scan(
        &mut self,
        spec: &'static TableSpec,
        after_key: Option<Vec<Value>>,
        limit: i64,
    ) -> Result<Vec<Vec<Value>>> {
        self.list_values(spec, &ListQuery { after_key, limit, ..ListQuery::default() }).await
    }

    /// The number of rows that a query without page and limit would list.
    pub async fn count(&mut self, spec: &'static TableSpec, query: &ListQuery<'_>) -> Result<i64> {
        let mut args = Vec::new();
        let conditions = filter(spec, query, &mut args);
        let sql = format!("SELECT COUNT(*) FROM {}{conditions}", name(spec.name));
        Ok(self.int(sql, &args).await?.unwrap_or_default())
    }

    /// Loads rows into the snapshot: one statement per table and index, on PostgreSQL all of them in one.
    pub async fn load(&mut self, loads: &[Load], into: &mut Snapshot) -> Result<()> {
        let mut found: Vec<Vec<Known>> = loads.iter().map(|_| Vec::new()).collect();
        let mut fault = None;
        self.load_each(loads, &mut |at, values| match Known::parse(loads[at].spec, values) {
            Ok(known) => found[at].push(known),
            Err(of_row) => fault = Some(of_row),
        })
        .await?;
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        for (load, rows) in loads.iter().zip(found) {
            into.take_in(load.clone(), rows);
        }
        Ok(())
    }

    /// Shows these columns of each row of loads, as it comes. The loads are of one table, by one of its indexes; none asks
    /// for NULL.
    pub async fn see(
        &mut self,
        loads: &[Load],
        shown: &'static [&'static str],
        each: &mut (dyn FnMut(Vec<Value>) -> Result<(), StoredFault> + Send),
    ) -> Result<()> {
        let Some(Load { spec, columns, .. }) = loads.first() else { return Ok(()) };
        debug_assert!(loads.iter().all(|load| (load.spec, load.columns) == (*spec, *columns)));
        let wanted: Vec<&[Value]> = loads.iter().map(|load| load.values.as_slice()).collect();
        let sql = self.dialect().statement(spec, Shape::See { columns, shown });
        let mut fault = None;
        let show = &mut |row: Vec<Value>| {
            if fault.is_none() {
                fault = each(row).err();
            }
        };
        self.fetch_each(sql, Args::Rows(&types_of(spec, columns), &wanted), &types_of(spec, shown), show).await?;
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// The rows of each load, as stored.
    pub async fn load_values(&mut self, loads: &[Load]) -> Result<Vec<Vec<Vec<Value>>>> {
        let mut found = vec![Vec::new(); loads.len()];
        self.load_each(loads, &mut |at, values| found[at].push(values)).await?;
        Ok(found)
    }

    /// Each row of each load, with the load's position.
    async fn load_each(&mut self, loads: &[Load], each: &mut (dyn FnMut(usize, Vec<Value>) + Send)) -> Result<()> {
        type Group = (&'static str, &'static [&'static str], u32);
        let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
        for (at, load) in loads.iter().enumerate() {
            let null = |(i, v): (usize, &Value)| u32::from(*v == Value::Null) << i;
            let nulls = load.values.iter().enumerate().map(null).sum();
            groups.entry((load.spec.name, load.columns, nulls)).or_default().push(at);
        }
        let wanted = |members: &[usize]| members.iter().map(|at| loads[*at].values.as_slice()).collect();
        if self.dialect() == Dialect::Postgres && groups.len() > 1 {
            let part = |((_, columns, nulls), members): (&Group, &Vec<usize>)| Part {
                spec: loads[members[0]].spec,
                shape: Shape::Load { columns, nulls: *nulls },
                rows: wanted(members),
            };
            let parts: Vec<Part> = groups.iter().map(part).collect();
            let mut members = groups.values();
            for bundle in bundles(&parts) {
                let members: Vec<&Vec<usize>> = members.by_ref().take(bundle.len()).collect();
                if let Some(sql) = Dialect::Postgres.together(bundle) {
                    let first = Dialect::Postgres.first_ord();
                    let of_part = &mut |part: usize, ord, row| each(members[part][(ord - first) as usize], row);
                    self.fetch_together(sql, bundle, of_part).await?;
                    continue;
                }
                for (Part { spec, shape, rows }, members) in bundle.iter().zip(members) {
                    let Shape::Load { columns, nulls } = *shape else { unreachable!("these are loads") };
                    self.load_where(spec, columns, nulls, rows, &mut |nth, row| each(members[nth], row)).await?;
                }
            }
            return Ok(());
        }
        for ((_, columns, nulls), members) in groups {
            let of_group = &mut |nth: usize, row| each(members[nth], row);
            self.load_where(loads[members[0]].spec, columns, nulls, &wanted(&members), of_group).await?;
        }
        Ok(())
    }

    /// The rows with one of these keys.
    pub(crate) async fn load_keys(&mut self, spec: &'static TableSpec, keys: &[&[Value]]) -> Result<Vec<Vec<Value>>> {
        let mut found = Vec::new();
        self.load_where(spec, spec.key, 0, keys, &mut |_, row| found.push(row)).await?;
        Ok(found)
    }

    /// Rows whose columns equal one of the wanted tuples, each with the tuple's position.
    async fn load_where(
        &mut self,
        spec: &'static TableSpec,
        columns: &'static [&'static str],
        nulls: u32,
        wanted: &[&[Value]],
        each: &mut (dyn FnMut(usize, Vec<Value>) + Send),
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let dialect = self.dialect();
        let sql = dialect.statement(spec, Shape::Load { columns, nulls });
        let mut types = vec![ColumnType::Int];
        types.extend(spec.columns.iter().map(|c| c.ty));
        let split = &mut |mut row: Vec<Value>| match row.remove(0) {
            Value::Int(ord) => each((ord - dialect.first_ord()) as usize, row),
            _ => unreachable!("the row source numbers its rows"),
        };
        self.fetch_each(sql, Args::Rows(&types_of(spec, columns), wanted), &types, split).await
    }

    /// Both sides per book, booking month, layer and account kind, over all of a book or all books.
    pub async fn trial_balance(&mut self, book: Option<&Book>) -> Result<Vec<TrialBalanceRow>> {
        let (sql, args) = match book {
            None => (trial_balance_sql(""), vec![]),
            Some(book) => (trial_balance_sql(" WHERE t.book = $1"), vec![book.to_value()]),
        };
        use ColumnType::{Int, Text};
        let rows = self.fetch(sql.into(), Args::Values(&args), &[Text, Text, Text, Text, Int, Int]).await?;
        rows.into_iter().map(|row| Ok(TrialBalanceRow::parse(row)?)).collect()
    }
}

/// ` WHERE …` with its values appended to `args`.
pub(crate) fn filter(spec: &TableSpec, query: &ListQuery<'_>, args: &mut Vec<Value>) -> String {
    let mut bind = |value: &Value| {
        args.push(value.clone());
        format!("${}", args.len())
    };
    let mut conditions = Vec::new();
    for (column, op, value) in &query.predicates {
        let column = name(spec.columns[spec.column(column).expect("a filter names a column of its table")].name);
        conditions.push(match (op, value) {
            (Op::Eq, Value::Null) => format!("{column} IS NULL"),
            (Op::Ne, Value::Null) => format!("{column} IS NOT NULL"),
            _ => format!("{column} {} {}", op.sql(), bind(value)),
        });
    }
    if let (Some(reader), false) = (query.reader, spec.readers.is_empty()) {
        let reader = bind(&Value::Text(reader.to_owned()));
        let own = spec.readers.iter().map(|c| format!("{} = {reader}", name(c)));
        let through = spec.readers_through.iter().map(|t| {
            let (other, on) = (name(t.table), name(t.on));
            let same = format!("{other}.{on} = {}.{on}", name(spec.name));
            format!("EXISTS (SELECT 1 FROM {other} WHERE {same} AND {other}.{} = {reader})", name(t.reader))
        });
        conditions.push(format!("({})", own.chain(through).collect::<Vec<_>>().join(" OR ")));
    }
    if let Some(after) = &query.after_key {
        // What a predicate fixes is not compared again: SQLite would go through all rows that have it, page after page.
        let is_fixed = |(column, value): &(&&str, &Value)| {
            query.predicates.iter().any(|(of, op, is)| of == *column && *op == Op::Eq && is == *value)
        };
        let fixed = spec.key.iter().zip(after).take_while(is_fixed).count().min(spec.key.len() - 1);
        let after = after[fixed..].iter().map(bind).collect::<Vec<_>>().join(", ");
        conditions.push(format!("({}) > ({after})", names(&spec.key[fixed..])));
    }
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// The account's kind comes from `accounts`, whose every row `jjj verify` recomputes.
fn trial_balance_sql(condition: &str) -> String {
    let side = |account: &str, debit: &str, credit: &str| {
        format!(
            "SELECT t.book, t.booking_month, t.layer, a.kind, {debit} AS debit_fen, {credit} AS credit_fen \
             FROM transfers AS t JOIN accounts AS a ON a.account = t.{account}{condition}"
        )
    };
    format!(
        "SELECT book, booking_month, layer, kind, \
         CAST(SUM(debit_fen) AS BIGINT), CAST(SUM(credit_fen) AS BIGINT) FROM ({} UNION ALL {}) AS sides \
         GROUP BY book, booking_month, layer, kind ORDER BY book, booking_month, layer, kind",
        side("debit", "t.amount_fen", "0"),
        side("credit", "0", "t.amount_fen"),
    )
}

impl TrialBalanceRow {
    fn parse(row: Vec<Value>) -> Result<Self, StoredFault> {
        let mut cells = row.into_iter();
        let mut cell = || cells.next().unwrap_or(Value::Null);
        Ok(Self {
            book: parse("transfers", "book", cell())?,
            booking_month: parse("transfers", "booking_month", cell())?,
            layer: parse("transfers", "layer", cell())?,
            kind: parse("transfers", "kind", cell())?,
            debit_fen: parse("transfers", "amount_fen", cell())?,
            credit_fen: parse("transfers", "amount_fen", cell())?,
        })
    }
}

/// One value of a statement of our own, as what its column holds.
pub(crate) fn parse<T: Column>(table: &'static str, column: &'static str, value: Value) -> Result<T, StoredFault> {
    T::from_value(value).map_err(|problem| StoredFault { table, column, problem })
}
