//! Cells of the tables that people open: spreadsheets run what looks like a formula.

use std::borrow::Cow;

/// A cell that no spreadsheet takes for a formula: one that begins with `=`, `+`, `-`, `@`, a tab,
/// a line break or their full-width forms gets an apostrophe before it (OWASP, "CSV injection").
/// Plain numbers stay numbers.
pub fn neutral(cell: &str) -> Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if is_formula && !is_number(cell) { format!("'{cell}").into() } else { cell.into() }
}

/// An optional minus, digits, and digits after one point.
fn is_number(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let cell = cell.strip_prefix('-').unwrap_or(cell);
    cell.split_once('.').map_or_else(|| digits(cell), |(whole, part)| digits(whole) && digits(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_neutralised_and_nothing_else() {
        for formula in ["=1+1", "+1", "-1+1", "@A1", "\t=1", "\r=1", "\n=1", "-", "-cmd|' /C calc'!A0", "＝1", "-1.2.3"]
        {
            assert_eq!(neutral(formula), format!("'{formula}"));
        }
        for plain in ["", "1", "-1", "-1.50", "a=b", "北京", "'=1", " =1"] {
            assert_eq!(neutral(plain), plain);
        }
    }
}
