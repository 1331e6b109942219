//! The filter of list methods: a subset of AIP-160, `field = "value" AND …`.

use std::cmp::Ordering;

use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::TableSpec;
use jjj_domain::value::{ColumnType, Value};
use jjj_store::{Op, Predicate};

/// The longest filter, in characters.
const MAX_LEN: usize = 2_000;

/// A field that a method can filter by, and the column it is. Fields without a column are taken
/// out by the service with [`Filter::take`].
pub type Field = (&'static str, Option<&'static str>);

/// One comparison as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    pub field: &'static str,
    column: Option<&'static str>,
    pub op: Op,
    pub value: String,
}

/// A parsed filter: all comparisons must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    comparisons: Vec<Comparison>,
}

impl Filter {
    /// Parses a filter over the fields of a method.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, Rejection> {
        if text.chars().count() > MAX_LEN {
            return Err(Reason::FilterMalformed.field("filter").var("at", MAX_LEN));
        }
        let mut rest = Cursor { text, at: 0 };
        let mut comparisons = Vec::new();
        rest.spaces();
        while !rest.is_at_end() {
            if !comparisons.is_empty() {
                rest.and()?;
            }
            comparisons.push(rest.comparison(fields)?);
            rest.spaces();
        }
        Ok(Self { comparisons })
    }

    /// Takes out the comparisons of a field, for what is no column.
    pub fn take(&mut self, field: &str) -> Vec<Comparison> {
        let (taken, kept) = std::mem::take(&mut self.comparisons).into_iter().partition(|c| c.field == field);
        self.comparisons = kept;
        taken
    }

    /// The comparisons as conditions on a table, each value in its column's type.
    pub fn predicates(&self, spec: &'static TableSpec) -> Result<Vec<Predicate>, Rejection> {
        let predicate = |c: &Comparison| {
            let unknown = || Reason::FilterFieldUnknown.field("filter").var("name", c.field);
            let column = &spec.columns[c.column.and_then(|name| spec.column(name)).ok_or_else(unknown)?];
            Ok((column.name, c.op, c.value_of(column.ty)?))
        };
        self.comparisons.iter().map(predicate).collect()
    }
}

impl Comparison {
    fn value_of(&self, ty: ColumnType) -> Result<Value, Rejection> {
        let malformed = || Reason::FilterMalformed.field("filter").var("at", self.field);
        match (ty, self.value.as_str()) {
            (ColumnType::Text, text) => Ok(Value::Text(text.to_owned())),
            (ColumnType::Int, "true") => Ok(Value::Int(1)),
            (ColumnType::Int, "false") => Ok(Value::Int(0)),
            (ColumnType::Int, text) => text.parse().map(Value::Int).map_err(|_| malformed()),
            (ColumnType::Bytes, _) => Err(malformed()),
        }
    }

    /// Compares a computed text, byte by byte.
    pub fn holds_for(&self, actual: &str) -> bool {
        let order = actual.cmp(&self.value);
        match self.op {
            Op::Eq => order == Ordering::Equal,
            Op::Ne => order != Ordering::Equal,
            Op::Lt => order == Ordering::Less,
            Op::Le => order != Ordering::Greater,
            Op::Gt => order == Ordering::Greater,
            Op::Ge => order != Ordering::Less,
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    /// Positions are counted in characters, from 0.
    fn malformed(&self) -> Rejection {
        Reason::FilterMalformed.field("filter").var("at", self.text[..self.at].chars().count())
    }

    fn and(&mut self) -> Result<(), Rejection> {
        // The space before it has been skipped; it must have been there.
        let spaced = self.text[..self.at].ends_with(' ') && self.rest().starts_with("AND ");
        if !spaced {
            return Err(self.malformed());
        }
        self.at += "AND ".len();
        self.spaces();
        Ok(())
    }

    fn comparison(&mut self, fields: &[Field]) -> Result<Comparison, Rejection> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let len = self.rest().find(|c| !word(c)).unwrap_or(self.rest().len());
        if len == 0 {
            return Err(self.malformed());
        }
        let name = &self.rest()[..len];
        let known = fields.iter().find(|(field, _)| *field == name);
        let unknown = || Reason::FilterFieldUnknown.field("filter").var("name", name);
        let (field, column) = *known.ok_or_else(unknown)?;
        self.at += len;
        self.spaces();
        let op = self.op()?;
        self.spaces();
        Ok(Comparison { field, column, op, value: self.quoted()? })
    }

    fn op(&mut self) -> Result<Op, Rejection> {
        const OPS: [(&str, Op); 6] =
            [("!=", Op::Ne), ("<=", Op::Le), (">=", Op::Ge), ("=", Op::Eq), ("<", Op::Lt), (">", Op::Gt)];
        let found = OPS.into_iter().find(|(text, _)| self.rest().starts_with(text));
        let (text, op) = found.ok_or_else(|| self.malformed())?;
        self.at += text.len();
        Ok(op)
    }

    fn quoted(&mut self) -> Result<String, Rejection> {
        let mut chars = self.rest().char_indices();
        if chars.next().is_none_or(|(_, c)| c != '"') {
            return Err(self.malformed());
        }
        let mut value = String::new();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    _ => break,
                },
                // No stored text has one, and PostgreSQL takes no NUL.
                control if control.is_control() => break,
                plain => value.push(plain),
            }
        }
        Err(self.malformed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Field] = &[("state", Some("state")), ("native_grade", Some("native_level")), ("in_force", None)];

    #[test]
    fn filters_parse() {
        let mut filter =
            Filter::parse(r#" state = "A \"B\" \\" AND native_grade>="3"  AND in_force = "true" "#, FIELDS).unwrap();
        assert_eq!(filter.take("in_force").len(), 1);
        let parsed: Vec<_> = filter.comparisons.iter().map(|c| (c.column, c.op, c.value.as_str())).collect();
        assert_eq!(parsed, [(Some("state"), Op::Eq, r#"A "B" \"#), (Some("native_level"), Op::Ge, "3")]);
        assert_eq!(Filter::parse("", FIELDS).unwrap(), Filter::default());
    }

    #[test]
    fn what_cannot_be_read_is_refused_where_it_stands() {
        for (text, reason, at) in [
            (r#"state = VALID"#, Reason::FilterMalformed, "8"),
            (r#"state "A""#, Reason::FilterMalformed, "6"),
            (r#"state = "A" OR state = "B""#, Reason::FilterMalformed, "12"),
            (r#"state = "A"AND state = "B""#, Reason::FilterMalformed, "11"),
            (r#"state = "A" AND "#, Reason::FilterMalformed, "11"),
            (r#"state = "A"#, Reason::FilterMalformed, "8"),
            (r#"state = "\n""#, Reason::FilterMalformed, "8"),
            ("state = \"a\0b\"", Reason::FilterMalformed, "8"),
            (r#"住址 = "x""#, Reason::FilterMalformed, "0"),
            (r#"salt = "x""#, Reason::FilterFieldUnknown, "salt"),
        ] {
            let refused = Filter::parse(text, FIELDS).unwrap_err();
            assert_eq!(refused.reason, reason, "{text}");
            if reason == Reason::FilterFieldUnknown {
                assert_eq!(refused.vars[0].1, at, "{text}");
            }
        }
    }
}
