//! Lists whose newest rows come first: in the order of a column that grows, not of the key.

use jjj_domain::row::Row;
use jjj_domain::value::Value;

use crate::Result;
use crate::dialect::{column_names, name, names, types_of};
use crate::read::{ListQuery, filter};
use crate::session::{Args, Session};

impl Session {
    /// One page of a table, the largest of `column` first and among equals the last key; before a row
    /// of which `before` has column and key, if given. [`ListQuery::after_key`] is for lists by key.
    pub async fn newest<T: Row>(
        &mut self,
        column: &'static str,
        query: &ListQuery<'_>,
        before: Option<(Value, Vec<Value>)>,
    ) -> Result<Vec<T>> {
        let spec = T::spec();
        let mut args = Vec::new();
        let mut conditions = filter(spec, query, &mut args);
        let order: Vec<String> = std::iter::once(column).chain(spec.key.iter().copied()).map(name).collect();
        if let Some((value, key)) = before {
            args.push(value);
            args.extend(key);
            let bound =
                (args.len() - spec.key.len()..=args.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
            let and = if conditions.is_empty() { " WHERE" } else { " AND" };
            conditions += &format!("{and} ({}) < ({bound})", order.join(", "));
        }
        args.push(Value::Int(query.limit));
        let (columns, table) = (names(&column_names(spec)), name(spec.name));
        let sql = format!(
            "SELECT {columns} FROM {table}{conditions} ORDER BY {} DESC LIMIT ${}",
            order.join(" DESC, "),
            args.len()
        );
        let rows = self.fetch(sql.into(), Args::Values(&args), &types_of(spec, &column_names(spec))).await?;
        rows.into_iter().map(|values| Ok(T::from_values(values)?)).collect()
    }
}
