//! Matching the ledger's rows with the file's lines: pure, deterministic, the same
//! whatever order they come in, and each match says by which rule.
//!
//! End-to-end key first (merchant, order id, transaction time), then the fallback
//! keys in configured order; exact to the fen. A unit is one matched group or one
//! unmatched row and has at most one difference, the first that holds (DESIGN.md §7).

use std::collections::{BTreeMap, BTreeSet};

use super::file::{LineKind, LineStatus, SettlementLine, beijing_text};
use super::rows::{BreakClass, FieldDifference};
use crate::text_enum;
use crate::time::Date;

/// The end-to-end key. A bank's statement knows no merchant and no order time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitKey {
    pub kind: LineKind,
    pub merchant_id: String,
    pub order_id: String,
    /// `YYYYMMDDhhmmss`, Beijing time.
    pub transaction_time: String,
}

impl UnitKey {
    /// The key as one text, for a break's id and a view's order.
    pub fn text(&self) -> String {
        format!("{}|{}|{}|{}", self.kind, self.merchant_id, self.order_id, self.transaction_time)
    }
}

/// Where a ledger row's money stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Money moved: it counts as a row of its clearing date.
    Posted,
    /// Reserved, or approved and not yet confirmed.
    Held,
    /// Reversed, rejected, expired, voided, returned: nothing is booked any more.
    Gone,
}

/// A payment, refund or subsidy claim, as matching sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    pub record: String,
    pub key: UnitKey,
    /// Unified social credit code of the payee.
    pub institution: String,
    pub amount_fen: i64,
    pub standing: Standing,
    /// The record's state, for people.
    pub state: String,
    pub clearing_date: Date,
    pub matched: Matched,
}

/// Whether an earlier run has matched the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    No,
    /// By one of this run's files, or by one that they supersede.
    Here,
    /// By another clearing date's file.
    Elsewhere,
}

/// A line and the file it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    pub file: String,
    pub line: SettlementLine,
}

impl FileLine {
    /// `{file}#{line}`.
    pub fn reference(&self) -> String {
        format!("{}#{}", self.file, self.line.line)
    }

    pub fn key(&self) -> UnitKey {
        let statement = self.line.kind == LineKind::OperatingSubsidy;
        UnitKey {
            kind: self.line.kind,
            merchant_id: self.line.merchant_id.clone(),
            order_id: self.line.order_id.clone(),
            transaction_time: if statement { String::new() } else { beijing_text(self.line.transaction_time) },
        }
    }

    fn moves_money(&self) -> bool {
        self.line.status == LineStatus::Success
    }
}

text_enum! {
    /// How the rows of a unit came together.
    pub enum MatchRule {
        /// Merchant, order id and transaction time.
        EndToEnd = "END_TO_END",
        /// Order id alone.
        OrderId = "ORDER_ID",
        /// Matched by an earlier run, by another date's file.
        Earlier = "EARLIER",
        /// One side only.
        None = "NONE",
    }
}

/// What matching is told beside the rows.
#[derive(Clone, Debug)]
pub struct Terms {
    pub clearing_date: Date,
    /// Fallback keys in configured order; [`MatchRule::OrderId`] is the one there is.
    pub fallbacks: Vec<MatchRule>,
    /// Whether a row that only the ledger has may still turn up in the next date's file.
    pub in_grace: bool,
    /// The agreed fee on an amount; `None`: whatever the file states.
    pub fee: Option<FeeRule>,
    /// Order ids of payments the ledger knows, for refunds it does not.
    pub known_orders: BTreeSet<String>,
}

/// The fee agreed with a channel: a share in 1/10,000, rounded half up, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRule {
    pub basis_points: i64,
    pub min_fen: i64,
    pub max_fen: i64,
}

impl FeeRule {
    pub fn of(self, amount_fen: i64) -> i64 {
        let share = (i128::from(amount_fen) * i128::from(self.basis_points) + 5_000) / 10_000;
        (share as i64).clamp(self.min_fen, self.max_fen)
    }
}

impl Terms {
    /// The agreed fee on a line; refunds and statement lines bear what they state.
    pub fn agreed_fee(&self, line: &SettlementLine) -> i64 {
        match (line.kind, self.fee) {
            (LineKind::Payment, Some(rule)) => rule.of(line.amount_fen),
            _ => line.fee_fen,
        }
    }
}

/// One matched group or one unmatched row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The first ledger row's key, else the first line's.
    pub key: UnitKey,
    pub entries: Vec<LedgerEntry>,
    /// Lines that moved money come first, each in file order.
    pub lines: Vec<FileLine>,
    pub rule: MatchRule,
    pub difference: Option<BreakClass>,
    /// All fields that differ between the first entry and the first line.
    pub fields: Vec<FieldDifference>,
}

impl Unit {
    /// The lines that moved money.
    pub fn money_lines(&self) -> impl Iterator<Item = &FileLine> {
        self.lines.iter().filter(|l| l.moves_money())
    }
}

/// Matches. Entries of other clearing dates are candidates only: without a line they make no unit.
pub fn match_rows(entries: Vec<LedgerEntry>, lines: Vec<FileLine>, terms: &Terms) -> Vec<Unit> {
    let mut left = Remaining::new(entries, lines);
    let mut units = left.by_end_to_end_key();
    for rule in &terms.fallbacks {
        if *rule == MatchRule::OrderId {
            units.extend(left.by_order_id());
        }
    }
    units.extend(left.unmatched(terms.clearing_date));
    for unit in &mut units {
        unit.fields = differing_fields(unit, terms);
        unit.difference = difference(unit, terms);
    }
    units.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| first_row(a).cmp(&first_row(b))));
    units
}

/// A unit judged again, after what is known of its entries has changed.
pub fn judged_again(unit: Unit, terms: &Terms) -> Unit {
    let rule = match unit.rule {
        MatchRule::Earlier if unit.lines.is_empty() => MatchRule::None,
        rule => rule,
    };
    let mut unit = Unit { rule, ..unit };
    unit.fields = differing_fields(&unit, terms);
    unit.difference = difference(&unit, terms);
    unit
}

/// The rows not matched yet, grouped by their end-to-end key.
struct Remaining {
    entries: BTreeMap<UnitKey, Vec<LedgerEntry>>,
    lines: BTreeMap<UnitKey, Vec<FileLine>>,
}

impl Remaining {
    fn new(entries: Vec<LedgerEntry>, lines: Vec<FileLine>) -> Self {
        let mut left = Self { entries: BTreeMap::new(), lines: BTreeMap::new() };
        for entry in entries {
            left.entries.entry(entry.key.clone()).or_default().push(entry);
        }
        for line in lines {
            left.lines.entry(line.key()).or_default().push(line);
        }
        left.entries.values_mut().for_each(|group| group.sort_by(|a, b| a.record.cmp(&b.record)));
        let order = |l: &FileLine| (!l.moves_money(), l.file.clone(), l.line.line);
        left.lines.values_mut().for_each(|group| group.sort_by_key(order));
        left
    }

    fn by_end_to_end_key(&mut self) -> Vec<Unit> {
        let keys: Vec<UnitKey> = self.lines.keys().filter(|k| self.entries.contains_key(k)).cloned().collect();
        keys.into_iter()
            .map(|key| {
                let entries = self.entries.remove(&key).expect("listed just now");
                let lines = self.lines.remove(&key).expect("listed just now");
                unit(entries, lines, MatchRule::EndToEnd)
            })
            .collect()
    }

    /// Several rows on either side make one ambiguous unit: nobody can say which belong together.
    fn by_order_id(&mut self) -> Vec<Unit> {
        let order = |key: &UnitKey| (key.kind, key.order_id.clone());
        let of_lines: BTreeSet<_> = self.lines.keys().map(order).collect();
        let shared: BTreeSet<_> = self.entries.keys().map(order).filter(|o| of_lines.contains(o)).collect();
        let mut groups: BTreeMap<_, (Vec<LedgerEntry>, Vec<FileLine>)> = BTreeMap::new();
        for (_, entries) in self.entries.extract_if(.., |key, _| shared.contains(&order(key))) {
            groups.entry(order(&entries[0].key)).or_default().0.extend(entries);
        }
        for (key, lines) in self.lines.extract_if(.., |key, _| shared.contains(&order(key))) {
            groups.entry(order(&key)).or_default().1.extend(lines);
        }
        groups.into_values().map(|(entries, lines)| unit(entries, lines, MatchRule::OrderId)).collect()
    }

    fn unmatched(self, date: Date) -> Vec<Unit> {
        let of_date = |e: &LedgerEntry| e.clearing_date == date && e.standing == Standing::Posted;
        let entries = self.entries.into_values().flatten().filter(of_date).map(|entry| {
            let earlier = entry.matched != Matched::No;
            unit(vec![entry], Vec::new(), if earlier { MatchRule::Earlier } else { MatchRule::None })
        });
        let lines = self.lines.into_values().map(|lines| unit(Vec::new(), lines, MatchRule::None));
        entries.chain(lines).collect()
    }
}

fn unit(entries: Vec<LedgerEntry>, lines: Vec<FileLine>, rule: MatchRule) -> Unit {
    let key = entries.first().map(|e| e.key.clone()).unwrap_or_else(|| lines[0].key());
    Unit { key, entries, lines, rule, difference: None, fields: Vec::new() }
}

fn first_row(unit: &Unit) -> (String, String) {
    let record = unit.entries.first().map(|e| e.record.clone()).unwrap_or_default();
    (record, unit.lines.first().map(FileLine::reference).unwrap_or_default())
}

/// The first difference that holds, in the order of DESIGN.md §7.
fn difference(unit: &Unit, terms: &Terms) -> Option<BreakClass> {
    let keys: BTreeSet<UnitKey> = unit.money_lines().map(FileLine::key).collect();
    let money = unit.money_lines().count();
    let elsewhere = unit.entries.iter().any(|e| e.matched == Matched::Elsewhere);
    if keys.len() == 1 && (money > 1 || elsewhere) && unit.entries.len() <= 1 {
        return Some(BreakClass::Duplicate);
    }
    if unit.entries.len() > 1 || keys.len() > 1 {
        return Some(BreakClass::Ambiguous);
    }
    match (unit.entries.first(), unit.lines.first()) {
        (None, Some(line)) if !line.moves_money() => None,
        (None, Some(line)) => Some(match &line.line.original_order_id {
            Some(original) if !terms.known_orders.contains(original) => BreakClass::RefundOrphan,
            _ => BreakClass::ChannelOnly,
        }),
        (Some(entry), None) if entry.matched != Matched::No => None,
        (Some(_), None) if terms.in_grace => Some(BreakClass::Cutoff),
        (Some(_), None) => Some(BreakClass::LedgerOnly),
        (Some(entry), Some(line)) if !line.moves_money() => {
            (entry.standing == Standing::Posted).then_some(BreakClass::StatusMismatch)
        }
        (Some(_), Some(_)) => {
            let order = [
                ("institution", BreakClass::PartyMismatch),
                ("merchant_id", BreakClass::PartyMismatch),
                ("status", BreakClass::StatusMismatch),
                ("amount_fen", BreakClass::AmountMismatch),
                ("fee_fen", BreakClass::FeeMismatch),
            ];
            let differs = |name: &str| unit.fields.iter().any(|f| f.field == name);
            order.into_iter().find(|(name, _)| differs(name)).map(|(_, class)| class)
        }
        (None, None) => None,
    }
}

/// Every field in which the first entry and the first line differ.
fn differing_fields(unit: &Unit, terms: &Terms) -> Vec<FieldDifference> {
    let (Some(entry), Some(line)) = (unit.entries.first(), unit.lines.first()) else { return Vec::new() };
    let key = line.key();
    let stated = &line.line;
    // An instruction to an institution without a merchant number leaves it to the channel.
    let merchant = if entry.key.merchant_id.is_empty() { &key.merchant_id } else { &entry.key.merchant_id }.clone();
    let status_agrees = line.moves_money() == (entry.standing == Standing::Posted);
    let pairs = [
        ("institution", entry.institution.clone(), stated.institution.clone()),
        ("merchant_id", merchant, key.merchant_id),
        ("transaction_time", entry.key.transaction_time.clone(), key.transaction_time),
        ("amount_fen", entry.amount_fen.to_string(), stated.amount_fen.to_string()),
        ("fee_fen", terms.agreed_fee(stated).to_string(), stated.fee_fen.to_string()),
    ];
    let status = (!status_agrees).then(|| ("status", entry.state.clone(), stated.status.to_string()));
    let differing = pairs.into_iter().filter(|(_, ledger, channel)| ledger != channel).chain(status);
    differing.map(|(field, ledger, channel)| FieldDifference { field: field.to_owned(), ledger, channel }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::parse_beijing;
    use super::*;
    use proptest::prelude::*;

    const USCC: &str = "52131082XXXX00043X";

    fn terms() -> Terms {
        Terms {
            clearing_date: "2026-11-19".parse().unwrap(),
            fallbacks: vec![MatchRule::OrderId],
            in_grace: false,
            fee: Some(FeeRule { basis_points: 20, min_fen: 0, max_fen: 1_000_000 }),
            known_orders: ["ORDERKNOWN".to_owned()].into(),
        }
    }

    fn entry(order: &str, amount: i64) -> LedgerEntry {
        LedgerEntry {
            record: format!("payments/{order}"),
            key: UnitKey {
                kind: LineKind::Payment,
                merchant_id: "M1".into(),
                order_id: order.into(),
                transaction_time: "20261119100000".into(),
            },
            institution: USCC.into(),
            amount_fen: amount,
            standing: Standing::Posted,
            state: "CONFIRMED".into(),
            clearing_date: "2026-11-19".parse().unwrap(),
            matched: Matched::No,
        }
    }

    fn line(n: i64, order: &str, amount: i64) -> FileLine {
        FileLine {
            file: "files/a".into(),
            line: SettlementLine {
                line: n,
                byte_offset: n * 100,
                kind: LineKind::Payment,
                merchant_id: "M1".into(),
                order_id: order.into(),
                transaction_time: parse_beijing("20261119100000").unwrap(),
                amount_fen: amount,
                fee_fen: terms().fee.unwrap().of(amount),
                status: LineStatus::Success,
                institution: USCC.into(),
                original_order_id: None,
            },
        }
    }

    fn only(entries: Vec<LedgerEntry>, lines: Vec<FileLine>, terms: &Terms) -> (Option<BreakClass>, MatchRule) {
        let units = match_rows(entries, lines, terms);
        assert_eq!(units.len(), 1, "{units:?}");
        (units[0].difference, units[0].rule)
    }

    #[test]
    fn each_difference_is_the_first_that_holds() {
        use BreakClass::*;
        use MatchRule::{Earlier, EndToEnd, OrderId};
        type Change = fn(&mut Vec<LedgerEntry>, &mut Vec<FileLine>, &mut Terms);
        let table: [(&str, Change, Option<BreakClass>, MatchRule); 21] = [
            ("equal", |_, _, _| {}, None, EndToEnd),
            ("twice in the file", |_, l, _| l.push(line(9, "ORDER1", 100)), Some(Duplicate), EndToEnd),
            (
                "twice, and the amount differs",
                |e, l, _| {
                    l.push(line(9, "ORDER1", 100));
                    e[0].amount_fen = 1;
                },
                Some(Duplicate),
                EndToEnd,
            ),
            (
                "failed, then succeeded",
                |_, l, _| {
                    let mut failed = line(1, "ORDER1", 100);
                    failed.line.status = LineStatus::Failed;
                    l.push(failed);
                },
                None,
                EndToEnd,
            ),
            ("matched on another date", |e, _, _| e[0].matched = Matched::Elsewhere, Some(Duplicate), EndToEnd),
            (
                "other time",
                |_, l, _| l[0].line.transaction_time = l[0].line.transaction_time.plus_us(1_000_000),
                None,
                OrderId,
            ),
            (
                "two lines of the order, neither the time",
                |_, l, _| {
                    l[0].line.transaction_time = l[0].line.transaction_time.plus_us(1_000_000);
                    let mut other = line(9, "ORDER1", 100);
                    other.line.transaction_time = other.line.transaction_time.plus_us(2_000_000);
                    l.push(other);
                },
                Some(Ambiguous),
                OrderId,
            ),
            (
                "not in the file, in grace",
                |_, l, t| {
                    l.clear();
                    t.in_grace = true
                },
                Some(Cutoff),
                MatchRule::None,
            ),
            ("not in the file", |_, l, _| l.clear(), Some(LedgerOnly), MatchRule::None),
            (
                "not in this file, matched before",
                |e, l, _| {
                    l.clear();
                    e[0].matched = Matched::Elsewhere
                },
                None,
                Earlier,
            ),
            ("not in the ledger", |e, _, _| e.clear(), Some(ChannelOnly), MatchRule::None),
            (
                "not in the ledger even in grace",
                |e, _, t| {
                    e.clear();
                    t.in_grace = true
                },
                Some(ChannelOnly),
                MatchRule::None,
            ),
            (
                "unknown and failed",
                |e, l, _| {
                    e.clear();
                    l[0].line.status = LineStatus::Failed
                },
                None,
                MatchRule::None,
            ),
            (
                "orphaned refund",
                |e, l, _| {
                    e.clear();
                    l[0].line.kind = LineKind::Refund;
                    l[0].line.original_order_id = Some("ORDERUNKNOWN".into());
                },
                Some(RefundOrphan),
                MatchRule::None,
            ),
            (
                "refund of a known payment",
                |e, l, _| {
                    e.clear();
                    l[0].line.kind = LineKind::Refund;
                    l[0].line.original_order_id = Some("ORDERKNOWN".into());
                },
                Some(ChannelOnly),
                MatchRule::None,
            ),
            (
                "other payee and amount",
                |e, l, _| {
                    e[0].amount_fen = 1;
                    l[0].line.institution = "12110105XXXX00027C".into();
                },
                Some(PartyMismatch),
                EndToEnd,
            ),
            ("held", |e, _, _| e[0].standing = Standing::Held, Some(StatusMismatch), EndToEnd),
            ("reversed", |e, _, _| e[0].standing = Standing::Gone, Some(StatusMismatch), EndToEnd),
            ("failed in the file", |_, l, _| l[0].line.status = LineStatus::Failed, Some(StatusMismatch), EndToEnd),
            (
                "other amount",
                |e, l, _| {
                    e[0].amount_fen = 99;
                    l[0].line.fee_fen += 1
                },
                Some(AmountMismatch),
                EndToEnd,
            ),
            ("other fee", |_, l, _| l[0].line.fee_fen += 1, Some(FeeMismatch), EndToEnd),
        ];
        for (name, change, class, rule) in table {
            let (mut entries, mut lines, mut terms) =
                (vec![entry("ORDER1", 100)], vec![line(2, "ORDER1", 100)], terms());
            change(&mut entries, &mut lines, &mut terms);
            assert_eq!(only(entries, lines, &terms), (class, rule), "{name}");
        }
    }

    #[test]
    fn all_differing_fields_are_listed() {
        let mut entry = entry("ORDER1", 99);
        entry.institution = "12110105XXXX00027C".into();
        let units = match_rows(vec![entry], vec![line(2, "ORDER1", 100)], &terms());
        let names: Vec<&str> = units[0].fields.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(names, ["institution", "amount_fen"]);
    }

    #[test]
    fn a_row_of_another_date_is_no_unit_without_a_line() {
        let mut yesterday = entry("ORDER1", 100);
        yesterday.clearing_date = "2026-11-18".parse().unwrap();
        assert!(match_rows(vec![yesterday.clone()], vec![], &terms()).is_empty());
        assert_eq!(only(vec![yesterday], vec![line(2, "ORDER1", 100)], &terms()).0, None);
    }

    /// A day of few distinct orders, times and amounts, so that collisions are common.
    fn day() -> impl Strategy<Value = (Vec<LedgerEntry>, Vec<FileLine>)> {
        let entries = proptest::collection::vec((0..6u8, 0..3u8, 1..4i64, 0..3u8), 0..12);
        let lines = proptest::collection::vec((0..6u8, 0..3u8, 1..4i64, any::<bool>()), 0..12);
        (entries, lines).prop_map(|(entries, lines)| {
            let entries = entries.into_iter().enumerate().map(|(i, (order, time, amount, standing))| {
                let mut e = entry(&format!("ORDER{order}"), amount);
                e.record = format!("payments/{i}");
                e.key.transaction_time = format!("2026111910000{time}");
                e.standing = [Standing::Posted, Standing::Held, Standing::Gone][usize::from(standing)];
                e
            });
            let lines = lines.into_iter().enumerate().map(|(i, (order, time, amount, success))| {
                let mut l = line(i as i64 + 2, &format!("ORDER{order}"), amount);
                l.line.transaction_time = l.line.transaction_time.plus_us(i64::from(time) * 1_000_000);
                l.line.status = if success { LineStatus::Success } else { LineStatus::Failed };
                l
            });
            (entries.collect(), lines.collect())
        })
    }

    proptest! {
        #[test]
        fn order_does_not_matter((entries, lines) in day(), seed in any::<u64>()) {
            let shuffled = |n: usize, i: usize| (i as u64).wrapping_mul(seed | 1).wrapping_add(seed) % (n as u64 + 1);
            let (mut e2, mut l2) = (entries.clone(), lines.clone());
            let (n, m) = (e2.len(), l2.len());
            let mut i = 0;
            e2.sort_by_cached_key(|_| { i += 1; shuffled(n, i) });
            l2.sort_by_cached_key(|_| { i += 1; shuffled(m, i) });
            prop_assert_eq!(match_rows(entries, lines, &terms()), match_rows(e2, l2, &terms()));
        }

        #[test]
        fn every_row_is_in_exactly_one_unit((entries, lines) in day()) {
            let units = match_rows(entries.clone(), lines.clone(), &terms());
            let mut in_units: Vec<String> = units.iter().flat_map(|u| &u.lines).map(FileLine::reference).collect();
            in_units.sort();
            let mut all: Vec<String> = lines.iter().map(FileLine::reference).collect();
            all.sort();
            prop_assert_eq!(in_units, all);
            let mut records: Vec<String> = units.iter().flat_map(|u| &u.entries).map(|e| e.record.clone()).collect();
            records.sort();
            let distinct = records.len();
            records.dedup();
            prop_assert_eq!(records.len(), distinct);
            for e in entries.iter().filter(|e| e.standing == Standing::Posted) {
                prop_assert!(records.contains(&e.record));
            }
        }
    }
}
