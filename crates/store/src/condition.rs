//! What a list is asked for that its columns alone cannot say: alternatives, negation, and rows
//! of another table that belong to the row listed. One statement with index look-ups, so that
//! no service has to go through a whole table.

use jjj_domain::row::{Row, TableSpec};
use jjj_domain::value::Value;

use crate::Result;
use crate::dialect::{column_names, name, names, types_of};
use crate::read::{ListQuery, Op, Predicate, filter};
use crate::session::{Args, Session};

/// A condition on a listed row.
#[derive(Clone, Debug)]
pub enum Condition {
    Is(Predicate),
    /// All of them, and none is enough.
    All(Vec<Self>),
    /// One of them; of none, never.
    Any(Vec<Self>),
    /// What is neither true nor false, because a column is NULL, counts as false before negation.
    Not(Box<Self>),
    /// There is a row of another table whose `column` is the listed row's `equals`, and of which all
    /// these hold. The table should have an index that begins with `column`.
    Exists {
        spec: &'static TableSpec,
        column: &'static str,
        equals: &'static str,
        that: Vec<Self>,
    },
}

impl Session {
    /// One page of a table, as [`Session::list`], of rows for which all conditions hold.
    pub async fn list_where<T: Row>(&mut self, query: &ListQuery<'_>, conditions: &[Condition]) -> Result<Vec<T>> {
        let rows = self.list_values_where(T::spec(), query, conditions).await?;
        rows.into_iter().map(|values| Ok(T::from_values(values)?)).collect()
    }

    /// The same of any table, as stored.
    pub async fn list_values_where(
        &mut self,
        spec: &'static TableSpec,
        query: &ListQuery<'_>,
        conditions: &[Condition],
    ) -> Result<Vec<Vec<Value>>> {
        let (sql, args) = statement(spec, query, conditions);
        let types = types_of(spec, &column_names(spec));
        self.fetch(sql.into(), Args::Values(&args), &types).await
    }
}

fn statement(spec: &'static TableSpec, query: &ListQuery<'_>, conditions: &[Condition]) -> (String, Vec<Value>) {
    let mut args = Vec::new();
    let mut filter = filter(spec, query, &mut args);
    let (table, key) = (name(spec.name), names(spec.key));
    for condition in conditions {
        filter += if filter.is_empty() { " WHERE " } else { " AND " };
        filter += &condition.sql(spec, &table, 0, &mut args);
    }
    args.push(Value::Int(query.limit));
    let columns = names(&column_names(spec));
    (format!("SELECT {columns} FROM {table}{filter} ORDER BY {key} LIMIT ${}", args.len()), args)
}

impl Condition {
    /// The condition over rows of a table that the statement calls `alias`.
    fn sql(&self, spec: &'static TableSpec, alias: &str, depth: usize, args: &mut Vec<Value>) -> String {
        let qualified = |spec: &'static TableSpec, alias: &str, column: &str| {
            let column = spec.columns[spec.column(column).expect("a condition names a column of its table")].name;
            format!("{alias}.{}", name(column))
        };
        let joined = |conditions: &[Self], with: &str, args: &mut Vec<Value>| {
            let each: Vec<String> = conditions.iter().map(|c| c.sql(spec, alias, depth, args)).collect();
            format!("({})", each.join(with))
        };
        match self {
            Self::Is((column, op, value)) => {
                let column = qualified(spec, alias, column);
                match (op, value) {
                    (Op::Eq, Value::Null) => format!("{column} IS NULL"),
                    (Op::Ne, Value::Null) => format!("{column} IS NOT NULL"),
                    (op, value) => {
                        args.push(value.clone());
                        format!("{column} {} ${}", op.sql(), args.len())
                    }
                }
            }
            Self::All(conditions) if conditions.is_empty() => "TRUE".to_owned(),
            Self::Any(conditions) if conditions.is_empty() => "FALSE".to_owned(),
            Self::All(conditions) => joined(conditions, " AND ", args),
            Self::Any(conditions) => joined(conditions, " OR ", args),
            Self::Not(condition) => format!("NOT COALESCE({}, FALSE)", condition.sql(spec, alias, depth, args)),
            Self::Exists { spec: other, column, equals, that } => {
                let inner = format!("x{depth}");
                let mut text = format!(
                    "EXISTS (SELECT 1 FROM {} AS {inner} WHERE {} = {}",
                    name(other.name),
                    qualified(other, &inner, column),
                    qualified(spec, alias, equals),
                );
                for condition in that {
                    text += " AND ";
                    text += &condition.sql(other, &inner, depth + 1, args);
                }
                text + ")"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::care::stay::StayRow;
    use jjj_domain::person::PersonRow;

    use super::*;

    #[test]
    fn the_statement_binds_every_value_and_names_every_table() {
        let text = |s: &str| Value::Text(s.into());
        let query = ListQuery {
            predicates: vec![("region", Op::Eq, text("regions/110000"))],
            limit: 7,
            ..ListQuery::default()
        };
        let left = Condition::Any(vec![
            Condition::Is(("left_on", Op::Eq, Value::Null)),
            Condition::Is(("left_on", Op::Gt, text("2026-01-01"))),
        ]);
        let stays = Condition::Exists { spec: StayRow::spec(), column: "person", equals: "person", that: vec![left] };
        let dead = Condition::Is(("state", Op::Eq, text("DECEASED")));
        let (sql, args) = statement(PersonRow::spec(), &query, &[stays, Condition::Not(Box::new(dead))]);
        let expected = " FROM persons WHERE region = $1 AND EXISTS (SELECT 1 FROM stays AS x0 WHERE x0.person = persons.person \
             AND (x0.left_on IS NULL OR x0.left_on > $2)) AND NOT COALESCE(persons.state = $3, FALSE) ORDER BY person LIMIT $4";
        assert!(sql.ends_with(expected), "{sql}");
        assert_eq!(args, [text("regions/110000"), text("2026-01-01"), text("DECEASED"), Value::Int(7)]);
    }
}
