//! A report shown: for a terminal, for machines, for spreadsheets, for paper.

mod csv;
mod html;
mod json;
mod text;
mod xlsx;

pub use self::csv::csv;
pub use html::html;
pub use json::json;
pub use text::text;
pub use xlsx::xlsx;

use jjj_domain::recon::report::yuan;

use crate::model::Cell;

/// A cell as people read it. Yuan have two decimals, and digits in groups of three.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => text.clone(),
        Cell::Count(n) => grouped(&n.to_string()),
        Cell::Fen(fen) => grouped(&yuan(*fen)),
        Cell::Date(date) => date.to_string(),
        Cell::State { title, .. } => title.clone(),
    }
}

/// `-1234567.89` as `-1,234,567.89`.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let (whole, rest) = digits.find('.').map_or((digits, ""), |at| digits.split_at(at));
    let mut out = String::from(sign);
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let groups = ["0", "999", "1000", "-1234567.89", "100.05"].map(grouped);
        assert_eq!(groups, ["0", "999", "1,000", "-1,234,567.89", "100.05"]);
    }
}
