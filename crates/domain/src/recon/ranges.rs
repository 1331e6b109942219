//! Record reconciliation by range digests: two sides that hold sets of records find where they differ
//! in a few round trips, though neither keeps any state for the other.
//!
//! Records lie in the order of their names, byte by byte. What is told of a range of names is either
//! digests over smaller ranges that tile it, or, when it has few records, each record's version and
//! digest. Whoever compares asks on where digests differ:
//!
//! | Digest | SHA-256 over |
//! |---|---|
//! | of a record | its canonical JSON, as leaves of the log have it: all columns, integers as texts |
//! | of a range | the digests of its records, 32 bytes each, in the order of their names |
//!
//! A digest over the records themselves, in order, rather than a sum that could be kept up to date: no
//! choice of records makes two sets look alike, and no write has to touch a common row.

use std::cmp::Ordering;
use std::collections::VecDeque;

use sha2::{Digest as _, Sha256};

use crate::id::Digest;

/// Into how many smaller ranges a range is told, when the caller does not say.
pub const FAN_OUT: usize = 64;

/// Names after `after` (empty: from the first) up to and with `upto` (empty: to the last).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub after: String,
    pub upto: String,
}

impl Range {
    /// All names.
    pub fn whole() -> Self {
        Self::default()
    }

    pub fn contains(&self, name: &str) -> bool {
        name > self.after.as_str() && self.ends_at_or_after(name)
    }

    fn ends_at_or_after(&self, name: &str) -> bool {
        self.upto.is_empty() || name <= self.upto.as_str()
    }

    /// What of a list in the order of names lies in the range.
    pub fn of<'a>(&self, items: &'a [Item]) -> &'a [Item] {
        let from = items.partition_point(|item| item.name <= self.after);
        let rest = &items[from..];
        &rest[..rest.partition_point(|item| self.ends_at_or_after(&item.name))]
    }
}

/// A record as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    pub version: i64,
    pub digest: Digest,
}

impl Item {
    /// `record` is its canonical JSON.
    pub fn new(name: String, version: i64, record: &str) -> Self {
        Self { name, version, digest: Digest::from_bytes(Sha256::digest(record).into()) }
    }
}

/// A smaller range: after the piece before it, up to `upto`. The last one ends where the range does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub upto: String,
    /// Number of its records, at least 1.
    pub count: usize,
    pub digest: Digest,
}

/// What is told of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Two at least, of about as many records each.
    Pieces(Vec<Piece>),
    /// Every record.
    Items(Vec<Item>),
}

/// The digest of a range with these records.
pub fn digest(items: &[Item]) -> Digest {
    let mut hash = Sha256::new();
    items.iter().for_each(|item| hash.update(item.digest.as_bytes()));
    Digest::from_bytes(hash.finalize().into())
}

/// Tells of a range: its records, in the order of their names, in at most `fan_out` pieces, or each when
/// there are no more than that.
pub fn tell(items: Vec<Item>, range: &Range, fan_out: usize) -> Told {
    if items.len() <= fan_out {
        return Told::Items(items);
    }
    let piece = |part: &[Item]| {
        let upto = part.last().map(|item| item.name.clone()).unwrap_or_default();
        Piece { upto, count: part.len(), digest: digest(part) }
    };
    let mut pieces: Vec<Piece> = items.chunks(items.len().div_ceil(fan_out.max(2))).map(piece).collect();
    if let Some(last) = pieces.last_mut() {
        last.upto.clone_from(&range.upto);
    }
    Told::Pieces(pieces)
}

/// What two sides may have differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// Here is nothing of that name.
    Missing,
    /// Here is an earlier version.
    Stale,
    /// Here is the same version with another content, or one that does not exist there.
    Altered,
    /// There is nothing of that name, or nothing that one may read.
    Extra,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub kind: DifferenceKind,
}

/// An answer that no other side that follows the rules gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    #[error("tells of a range that was not asked about")]
    OtherRange,
    #[error("does not tile the range it tells of in order")]
    NotTiled,
    #[error("tells of nothing")]
    Nothing,
}

/// One side's comparison of its records with another's, who is asked range by range.
pub struct Comparison<'a> {
    items: &'a [Item],
    open: VecDeque<Range>,
    /// In no particular order.
    pub differences: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    /// `items` in the order of their names, each once.
    pub fn new(items: &'a [Item]) -> Self {
        Self { items, open: VecDeque::from([Range::whole()]), differences: Vec::new() }
    }

    /// What to ask next, at most so many ranges in their order; nothing when the comparison is done.
    pub fn ask(&mut self, limit: usize) -> Vec<Range> {
        self.open.make_contiguous().sort_unstable_by(|a, b| a.after.cmp(&b.after));
        self.open.drain(..limit.min(self.open.len())).collect()
    }

    /// Takes the answers about the ranges asked, in their order. The last may end before its range, and
    /// ranges after it be left out, when they were too many records: they are asked again.
    pub fn hear(&mut self, asked: Vec<Range>, answers: Vec<(Range, Told)>) -> Result<(), AnswerFault> {
        if answers.is_empty() && !asked.is_empty() {
            return Err(AnswerFault::Nothing);
        }
        let mut answers = answers.into_iter();
        for range in asked {
            let Some((told_of, told)) = answers.next() else {
                self.open.push_back(range);
                continue;
            };
            let ends_early = told_of.upto != range.upto;
            if told_of.after != range.after || ends_early && !range.contains(&told_of.upto) {
                return Err(AnswerFault::OtherRange);
            }
            if ends_early {
                self.open.push_back(Range { after: told_of.upto.clone(), upto: range.upto });
            }
            match told {
                Told::Items(items) => self.compare(&told_of, &items)?,
                Told::Pieces(pieces) => self.descend(told_of, &pieces)?,
            }
        }
        if answers.next().is_some() { Err(AnswerFault::OtherRange) } else { Ok(()) }
    }

    fn descend(&mut self, range: Range, pieces: &[Piece]) -> Result<(), AnswerFault> {
        // One piece would be the range again, for ever.
        if pieces.len() < 2 || pieces.iter().any(|piece| piece.count == 0) {
            return Err(AnswerFault::NotTiled);
        }
        let mut after = range.after.clone();
        for (n, piece) in pieces.iter().enumerate() {
            let is_last = n + 1 == pieces.len();
            let fits = if is_last { piece.upto == range.upto } else { range.contains(&piece.upto) };
            if !fits || !is_last && piece.upto <= after {
                return Err(AnswerFault::NotTiled);
            }
            let part = Range { after, upto: piece.upto.clone() };
            let own = part.of(self.items);
            if own.len() != piece.count || digest(own) != piece.digest {
                self.open.push_back(part);
            }
            after = piece.upto.clone();
        }
        Ok(())
    }

    fn compare(&mut self, range: &Range, theirs: &[Item]) -> Result<(), AnswerFault> {
        let is_ordered = theirs.windows(2).all(|pair| pair[0].name < pair[1].name);
        if !is_ordered || !theirs.iter().all(|item| range.contains(&item.name)) {
            return Err(AnswerFault::NotTiled);
        }
        let mut own = range.of(self.items).iter().peekable();
        let mut theirs = theirs.iter().peekable();
        loop {
            let order = match (own.peek(), theirs.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(own), Some(theirs)) => own.name.cmp(&theirs.name),
            };
            let own = if order.is_le() { own.next() } else { None };
            let theirs = if order.is_ge() { theirs.next() } else { None };
            let found = match (own, theirs) {
                (Some(own), Some(theirs)) if own == theirs => continue,
                (Some(own), Some(theirs)) if own.version < theirs.version => (&own.name, DifferenceKind::Stale),
                (Some(own), Some(_)) => (&own.name, DifferenceKind::Altered),
                (Some(own), None) => (&own.name, DifferenceKind::Extra),
                (None, Some(theirs)) => (&theirs.name, DifferenceKind::Missing),
                (None, None) => return Ok(()),
            };
            self.differences.push(Difference { name: found.0.clone(), kind: found.1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Set = BTreeMap<String, (i64, String)>;

    fn items(set: &Set) -> Vec<Item> {
        // A record's text has its name and its version in it.
        let item = |(name, (version, text)): (&String, &(i64, String))| {
            Item::new(name.clone(), *version, &format!("{name} {version} {text}"))
        };
        set.iter().map(item).collect()
    }

    /// Compares as a client does with a side that reads at most `budget` records a call; the differences
    /// by name and the number of calls.
    fn compared(own: &Set, theirs: &Set, fan_out: usize, ranges: usize, budget: usize) -> (Vec<Difference>, usize) {
        let (own, theirs) = (items(own), items(theirs));
        let mut comparison = Comparison::new(&own);
        let mut calls = 0;
        loop {
            let asked = comparison.ask(ranges);
            if asked.is_empty() {
                break;
            }
            calls += 1;
            assert!(calls < 100_000, "it does not end");
            let mut left = budget;
            let mut answers = Vec::new();
            for range in &asked {
                if left == 0 {
                    break;
                }
                let all = range.of(&theirs);
                let part = all[..all.len().min(left)].to_vec();
                left -= part.len();
                let mut told_of = range.clone();
                if part.len() < all.len() {
                    told_of.upto.clone_from(&part[part.len() - 1].name);
                }
                let told = tell(part, &told_of, fan_out);
                answers.push((told_of, told));
            }
            comparison.hear(asked, answers).unwrap();
        }
        let mut found = comparison.differences;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        (found, calls)
    }

    fn expected(own: &Set, theirs: &Set) -> Vec<Difference> {
        let names: std::collections::BTreeSet<&String> = own.keys().chain(theirs.keys()).collect();
        let kind = |name: &String| match (own.get(name), theirs.get(name)) {
            (Some(own), Some(theirs)) if own == theirs => None,
            (Some(own), Some(theirs)) if own.0 < theirs.0 => Some(DifferenceKind::Stale),
            (Some(_), Some(_)) => Some(DifferenceKind::Altered),
            (Some(_), None) => Some(DifferenceKind::Extra),
            (None, _) => Some(DifferenceKind::Missing),
        };
        names.into_iter().filter_map(|name| Some(Difference { name: name.clone(), kind: kind(name)? })).collect()
    }

    fn set() -> impl Strategy<Value = Set> {
        prop::collection::btree_map("[a-c]{1,5}", (1..3i64, "[xy]"), 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Exactly what differs, whatever the sets, the fan-out, and how much an answer may hold.
        #[test]
        fn finds_what_differs_and_nothing_else(
            own in set(), theirs in set(), fan_out in 2..9usize, ranges in 1..6usize, budget in 1..50usize,
        ) {
            prop_assert_eq!(compared(&own, &theirs, fan_out, ranges, budget).0, expected(&own, &theirs));
        }

        /// The same of sets that are nearly alike.
        #[test]
        fn finds_a_few_among_many(theirs in set(), changes in prop::collection::vec(("[a-c]{1,5}", 0..4u8), 0..6)) {
            let mut own = theirs.clone();
            for (name, how) in changes {
                match how {
                    0 => { own.remove(&name); }
                    1 => { own.insert(name, (7, "x".into())); }
                    2 => { own.insert(name, (0, "y".into())); }
                    _ => { own.entry(name).and_modify(|(_, text)| text.push('z')); }
                }
            }
            prop_assert_eq!(compared(&own, &theirs, 4, 3, 1_000).0, expected(&own, &theirs));
        }
    }

    #[test]
    fn calls_grow_with_the_depth_and_not_with_the_number_of_records() {
        let all: Set = (0..20_000).map(|n| (format!("ratings/{n:08}"), (1, "x".into()))).collect();
        assert_eq!(compared(&all, &all, FAN_OUT, 256, 100_000), (vec![], 1));
        let mut own = all.clone();
        own.remove("ratings/00012345");
        let (found, calls) = compared(&own, &all, FAN_OUT, 256, 100_000);
        assert_eq!((found.len(), found[0].kind, calls), (1, DifferenceKind::Missing, 3));
    }

    #[test]
    fn answers_against_the_rules_are_refused() {
        let own = items(&Set::from([("b".into(), (1, "x".into()))]));
        let piece = |upto: &str, count| Piece { upto: upto.into(), count, digest: digest(&[]) };
        let range = |after: &str, upto: &str| Range { after: after.into(), upto: upto.into() };
        let item = |name: &str| Item::new(name.into(), 1, "x");
        let table = [
            (vec![], AnswerFault::Nothing),
            (vec![(range("a", ""), Told::Items(vec![]))], AnswerFault::OtherRange),
            (vec![(Range::whole(), Told::Items(vec![item("b"), item("a")]))], AnswerFault::NotTiled),
            (vec![(range("", "b"), Told::Items(vec![item("c")]))], AnswerFault::NotTiled),
            (vec![(Range::whole(), Told::Pieces(vec![piece("", 9)]))], AnswerFault::NotTiled),
            (
                vec![(Range::whole(), Told::Pieces(vec![piece("c", 1), piece("b", 1), piece("", 1)]))],
                AnswerFault::NotTiled,
            ),
            (vec![(Range::whole(), Told::Pieces(vec![piece("a", 1), piece("b", 1)]))], AnswerFault::NotTiled),
            (vec![(Range::whole(), Told::Pieces(vec![piece("a", 0), piece("", 1)]))], AnswerFault::NotTiled),
            (
                vec![(Range::whole(), Told::Items(vec![])), (Range::whole(), Told::Items(vec![]))],
                AnswerFault::OtherRange,
            ),
        ];
        for (answers, fault) in table {
            let mut comparison = Comparison::new(&own);
            let asked = comparison.ask(1);
            assert_eq!(comparison.hear(asked, answers.clone()), Err(fault), "{answers:?}");
        }
    }

    /// SHA-256 of nothing, and of two digests one after the other.
    #[test]
    fn digests_are_as_documented() {
        assert!(digest(&[]).to_string().starts_with("e3b0c44298fc1c14"));
        let [a, b] = ["a", "b"].map(|name| Item::new(name.into(), 1, name));
        let both = [a.digest.as_bytes().as_slice(), b.digest.as_bytes()].concat();
        assert_eq!(digest(&[a.clone(), b.clone()]), Digest::from_bytes(Sha256::digest(both).into()));
        assert_eq!(a.digest.to_string(), "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    }
}
