//! Synthetic identifiers with right check digits: residents born in 1880, whom
//! nobody alive can be, and institution codes that were never issued (DOMAIN.md §6).

use jjj_domain::id::{ResidentId, Uscc};

/// The `n`th synthetic resident of a division, `n` below a million.
pub fn resident_id(division: &str, n: usize) -> String {
    let (month, day, sequence) = (1 + n / 999 / 28 % 12, 1 + n / 999 % 28, 1 + n % 999);
    let body = format!("{division}1880{month:02}{day:02}{sequence:03}");
    complete(&body, "0123456789X", |text| text.parse::<ResidentId>().is_ok())
}

/// The `n`th synthetic non-profit care institution of a division.
pub fn uscc(division: &str, n: usize) -> String {
    // The organisation code has a check character of its own before the last one.
    let body = format!("52{division}XX{n:06}");
    let valid = |text: &str| text.parse::<Uscc>().is_ok();
    for inner in "0123456789X".chars() {
        let with_inner = format!("{body}{inner}");
        let found = USCC_ALPHABET.chars().map(|c| format!("{with_inner}{c}")).find(|text| valid(text));
        if let Some(found) = found {
            return found;
        }
    }
    unreachable!("some check characters fit")
}

const USCC_ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";

fn complete(body: &str, alphabet: &str, valid: impl Fn(&str) -> bool) -> String {
    let mut candidates = alphabet.chars().map(|c| format!("{body}{c}"));
    candidates.find(|text| valid(text)).expect("one check character fits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn identifiers_are_valid_and_distinct() {
        let ids: HashSet<_> = (0..5_000).map(|n| resident_id("110108", n)).collect();
        assert_eq!(ids.len(), 5_000);
        let codes: HashSet<_> = (0..300).map(|n| uscc("131082", n)).collect();
        assert_eq!(codes.len(), 300);
    }
}
