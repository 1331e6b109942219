//! Lists that look beyond their own table.

use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::Row;
use jjj_domain::time::Date;
use jjj_domain::value::{Column, Value};
use jjj_store::{Condition, Op, Predicate};
use tonic::Status;

use super::filter::Comparison;
use super::page::Paging;
use super::read::{Sees, page_where};
use crate::gateway::Gateway;
use crate::identity::Caller;

/// One page of a table in key order, as [`super::read::page`], of rows for which all conditions hold.
pub async fn search<T: Row>(
    gateway: &Gateway,
    caller: &Caller,
    predicates: Vec<Predicate>,
    conditions: &[Condition],
    paging: &Paging<'_>,
    sees: Sees,
) -> Result<(Vec<T>, String), Status> {
    page_where(gateway, caller, predicates, conditions, paging, sees, |_| true).await
}

/// A column compared with a value.
pub fn is(column: &'static str, op: Op, value: impl Column) -> Condition {
    Condition::Is((column, op, value.to_value()))
}

/// The column is empty, or a date after this one: not yet ended.
pub fn not_ended(column: &'static str, on: Date) -> Condition {
    Condition::Any(vec![Condition::Is((column, Op::Eq, Value::Null)), is(column, Op::Gt, on)])
}

/// What a filter's yes-or-no field asks for: `= "true"`, `!= "false"` and so on.
pub fn flag(comparison: &Comparison, condition: Condition) -> Result<Condition, Rejection> {
    let wanted = match comparison.value.as_str() {
        "true" => true,
        "false" => false,
        _ => return Err(malformed(comparison)),
    };
    either_way(comparison, wanted, condition)
}

/// What a filter asks of a field that only `=` and `!=` apply to.
pub fn equals(comparison: &Comparison, condition: Condition) -> Result<Condition, Rejection> {
    either_way(comparison, true, condition)
}

fn either_way(comparison: &Comparison, wanted: bool, condition: Condition) -> Result<Condition, Rejection> {
    match comparison.op {
        Op::Eq | Op::Ne if (comparison.op == Op::Eq) == wanted => Ok(condition),
        Op::Eq | Op::Ne => Ok(Condition::Not(Box::new(condition))),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => Err(malformed(comparison)),
    }
}

/// The date that a filter compares with.
pub fn date(comparison: &Comparison) -> Result<Date, Rejection> {
    comparison.value.parse().map_err(|_| malformed(comparison))
}

/// The integer that a filter compares with.
pub fn integer(comparison: &Comparison) -> Result<i64, Rejection> {
    comparison.value.parse().map_err(|_| malformed(comparison))
}

fn malformed(comparison: &Comparison) -> Rejection {
    Reason::FilterMalformed.field("filter").var("at", comparison.field)
}
