//! Matching the ledger's rows with the file's lines: pure, deterministic, the same
//! whatever order they come in, and each match says by which rule.
//!
//! End-to-end key first (merchant, order id, transaction time), then the fallback
//! rules in the order that the channel's policy names; exact to the fen, and where a
//! fee or a time may differ, a named tolerance says so. A unit is one matched group or
//! one unmatched row and has at most one difference, the first that holds (DESIGN.md §7).
//!
//! What the end-to-end key joins needs only the rows of that key, so that a day can
//! stream by ([`super::stream`]); only what it leaves over comes here as a whole.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file::{LineKind, LineStatus, SettlementLine, beijing_text, parse_beijing};
use super::rows::{BreakClass, FieldDifference, RunTerms};
use crate::policy::{AgreedFee, Tolerance, ToleranceOf};
use crate::text_enum;
use crate::time::{Date, Timestamp};

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

    /// Order id first: rows that any key by order id joins are neighbours.
    fn stream_order(&self, other: &Self) -> Ordering {
        fn key(k: &UnitKey) -> (&str, LineKind, &str, &str) {
            (&k.order_id, k.kind, &k.merchant_id, &k.transaction_time)
        }
        key(self).cmp(&key(other))
    }
}

text_enum! {
    /// Where a ledger row's money stands.
    pub enum Standing {
        /// Money moved: it counts as a row of its clearing date.
        Posted = "POSTED",
        /// Reserved, or approved and not yet confirmed.
        Held = "HELD",
        /// Reversed, rejected, expired, voided, returned: nothing is booked any more.
        Gone = "GONE",
    }
}

/// A payment, refund or subsidy claim, as matching sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    pub record: String,
    pub key: UnitKey,
    /// `{region code}/{programme}`.
    pub book: String,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matched {
    No,
    /// By one of this run's files, or by one that they supersede.
    Here,
    /// By another clearing date's file.
    Elsewhere,
}

/// A line and the file it is in. Shared: a run has it in the file, in the day and in its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    pub file: Arc<str>,
    pub line: Arc<SettlementLine>,
}

impl SettlementLine {
    /// By which it is joined, end to end.
    pub fn key(&self) -> UnitKey {
        let statement = self.kind == LineKind::OperatingSubsidy;
        UnitKey {
            kind: self.kind,
            merchant_id: self.merchant_id.clone(),
            order_id: self.order_id.clone(),
            transaction_time: if statement { String::new() } else { beijing_text(self.transaction_time) },
        }
    }
}

impl FileLine {
    /// `{file}#{line}`.
    pub fn reference(&self) -> String {
        format!("{}#{}", self.file, self.line.line)
    }

    pub fn key(&self) -> UnitKey {
        self.line.key()
    }

    pub fn moves_money(&self) -> bool {
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
        /// Merchant, amount and time, each of one row on either side; the time within the
        /// policy's tolerance.
        MerchantTimeAmount = "MERCHANT_TIME_AMOUNT",
        /// All that is left of a merchant and institution: one row on one side, several on the
        /// other, of the same sum.
        GroupedSum = "GROUPED_SUM",
        /// Matched by an earlier run, by another date's file.
        Earlier = "EARLIER",
        /// One side only.
        None = "NONE",
    }
}

impl MatchRule {
    /// Whether a channel's policy may name it.
    pub const fn is_fallback(self) -> bool {
        match self {
            Self::OrderId | Self::MerchantTimeAmount | Self::GroupedSum => true,
            Self::EndToEnd | Self::Earlier | Self::None => false,
        }
    }
}

/// What matching is told beside the rows.
#[derive(Clone, Debug)]
pub struct Terms {
    pub clearing_date: Date,
    /// What is tried after the end-to-end key, in this order.
    pub fallbacks: Vec<MatchRule>,
    pub tolerances: Vec<Tolerance>,
    /// Whether a row that only the ledger has may still turn up in the next date's file.
    pub in_grace: bool,
    /// The agreed fee on an amount; `None`: whatever the file states.
    pub fee: Option<FeeRule>,
    /// Order ids of payments the ledger knows, for refunds it does not.
    pub known_orders: BTreeSet<String>,
}

/// The fee agreed with a channel: a share in 1/10,000, rounded half up, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

impl From<AgreedFee> for FeeRule {
    fn from(fee: AgreedFee) -> Self {
        Self { basis_points: fee.basis_points, min_fen: fee.min_fen, max_fen: fee.max_fen }
    }
}

impl Terms {
    /// Those of a stored run. `known_orders` as there.
    pub fn of(clearing_date: Date, stated: RunTerms, known_orders: BTreeSet<String>) -> Self {
        let RunTerms { in_grace, fee, fallbacks, tolerances } = stated;
        Self { clearing_date, fallbacks, tolerances, in_grace, fee, known_orders }
    }

    /// What a run states of them.
    pub fn stated(self) -> RunTerms {
        let Self { in_grace, fee, fallbacks, tolerances, .. } = self;
        RunTerms { in_grace, fee, fallbacks, tolerances }
    }

    /// The fee due on a line: the agreed one, or what is stated where a tolerance covers the
    /// difference. Refunds and statement lines bear what they state.
    pub fn agreed_fee(&self, line: &SettlementLine) -> i64 {
        let exact = self.exact_fee(line);
        if exact.abs_diff(line.fee_fen) <= self.within(ToleranceOf::FeeFen) { line.fee_fen } else { exact }
    }

    fn exact_fee(&self, line: &SettlementLine) -> i64 {
        match (line.kind, self.fee) {
            (LineKind::Payment, Some(rule)) => rule.of(line.amount_fen),
            _ => line.fee_fen,
        }
    }

    /// How far a field may be off, by all tolerances of it.
    fn within(&self, of: ToleranceOf) -> u64 {
        let widest = self.tolerances.iter().filter(|t| t.of == of).map(|t| t.within.unsigned_abs()).max();
        widest.unwrap_or(0)
    }

    /// The narrowest tolerance that covers a difference, by name; `None` when there is none to cover.
    fn covering(&self, of: ToleranceOf, off: u64) -> Option<&str> {
        let covers = self.tolerances.iter().filter(|t| off > 0 && t.of == of && t.within.unsigned_abs() >= off);
        covers.min_by_key(|t| (t.within, &t.name)).map(|t| t.name.as_str())
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
    /// The names of the tolerances without which it would not have matched, sorted.
    pub tolerances: Vec<String>,
    pub difference: Option<BreakClass>,
    /// All fields that differ between the first entry and the first line.
    pub fields: Vec<FieldDifference>,
}

impl Unit {
    /// The order of a view's rows: what the end-to-end key joined, then the others; each by order
    /// id, kind, merchant and time. So a stream can render the first while it gathers the second.
    pub fn order(&self, other: &Self) -> Ordering {
        fn record(unit: &Unit) -> Option<&str> {
            unit.entries.first().map(|e| e.record.as_str())
        }
        let rank = |unit: &Self| unit.rule != MatchRule::EndToEnd;
        let by_key = || self.key.stream_order(&other.key);
        rank(self).cmp(&rank(other)).then_with(by_key).then_with(|| record(self).cmp(&record(other)))
    }

    /// The lines that moved money.
    pub fn money_lines(&self) -> impl Iterator<Item = &FileLine> {
        self.lines.iter().filter(|l| l.moves_money())
    }
}

/// Matches. Entries of other clearing dates are candidates for keys by order id only: without a
/// line they make no unit.
pub fn match_rows(entries: Vec<LedgerEntry>, lines: Vec<FileLine>, terms: &Terms) -> Vec<Unit> {
    let mut left = Remaining::new(entries, lines);
    let mut units = left.by_end_to_end_key();
    for rule in &terms.fallbacks {
        match rule {
            MatchRule::OrderId => units.extend(left.by_order_id()),
            MatchRule::MerchantTimeAmount => units.extend(left.by_merchant_time_amount(terms)),
            MatchRule::GroupedSum => units.extend(left.by_sum(terms.clearing_date)),
            MatchRule::EndToEnd | MatchRule::Earlier | MatchRule::None => {}
        }
    }
    units.extend(left.unmatched(terms.clearing_date));
    for unit in &mut units {
        judge(unit, terms);
    }
    units.sort_by(Unit::order);
    units
}

/// What the end-to-end key joins, and what it leaves over.
pub struct Joined {
    /// In their order.
    pub units: Vec<Unit>,
    pub entries: Vec<LedgerEntry>,
    pub lines: Vec<FileLine>,
}

/// Joins by the end-to-end key alone: what is left of a part of a day may belong to what is left of another.
pub fn join(entries: Vec<LedgerEntry>, lines: Vec<FileLine>, terms: &Terms) -> Joined {
    let mut left = Remaining::new(entries, lines);
    let mut units = left.by_end_to_end_key();
    units.iter_mut().for_each(|unit| judge(unit, terms));
    units.sort_by(Unit::order);
    let Remaining { entries, lines } = left;
    let entries = entries.into_values().flatten().collect();
    Joined { units, entries, lines: lines.into_values().flatten().collect() }
}

/// A unit judged again, after what is known of its entries has changed.
pub fn judged_again(unit: Unit, terms: &Terms) -> Unit {
    let rule = match unit.rule {
        MatchRule::Earlier if unit.lines.is_empty() => MatchRule::None,
        rule => rule,
    };
    let mut unit = Unit { rule, ..unit };
    judge(&mut unit, terms);
    unit
}

/// Fields, tolerances and difference of a unit.
fn judge(unit: &mut Unit, terms: &Terms) {
    unit.fields = differing_fields(unit, terms);
    unit.tolerances = tolerances(unit, terms);
    unit.difference = difference(unit, terms);
}

/// The unit of rows that share an end-to-end key.
pub fn end_to_end(mut entries: Vec<LedgerEntry>, mut lines: Vec<FileLine>, terms: &Terms) -> Unit {
    in_order(&mut entries, &mut lines);
    let mut unit = unit(entries, lines, MatchRule::EndToEnd);
    judge(&mut unit, terms);
    unit
}

fn in_order(entries: &mut [LedgerEntry], lines: &mut [FileLine]) {
    entries.sort_by(|a, b| a.record.cmp(&b.record));
    lines.sort_by_key(|l| (!l.moves_money(), l.file.clone(), l.line.line));
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
        left.entries.values_mut().for_each(|group| in_order(group, &mut []));
        left.lines.values_mut().for_each(|group| in_order(&mut [], group));
        left
    }

    fn by_end_to_end_key(&mut self) -> Vec<Unit> {
        let mut units = Vec::new();
        for (key, lines) in std::mem::take(&mut self.lines) {
            match self.entries.remove(&key) {
                Some(entries) => units.push(unit(entries, lines, MatchRule::EndToEnd)),
                None => drop(self.lines.insert(key, lines)),
            }
        }
        units
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

    /// One row of each side with the same merchant and amount, near each other in time and near no
    /// third: where more would do, nobody can say which belong together, and none is taken.
    fn by_merchant_time_amount(&mut self, terms: &Terms) -> Vec<Unit> {
        let mut alike: BTreeMap<_, Vec<(Timestamp, &UnitKey, bool)>> = BTreeMap::new();
        for (key, group) in &self.entries {
            let at = parse_beijing(&key.transaction_time);
            if let (Some(at), [entry]) = (at, &group[..])
                && entry.clearing_date == terms.clearing_date
                && entry.standing != Standing::Gone
                && entry.matched != Matched::Elsewhere
            {
                alike.entry((key.kind, &key.merchant_id, entry.amount_fen)).or_default().push((at, key, true));
            }
        }
        for (key, group) in &self.lines {
            let at = parse_beijing(&key.transaction_time);
            if let (Some(at), [line]) = (at, &group[..])
                && line.moves_money()
            {
                alike.entry((key.kind, &key.merchant_id, line.line.amount_fen)).or_default().push((at, key, false));
            }
        }
        let reach_us = terms.within(ToleranceOf::TransactionTimeS) as i64 * 1_000_000;
        let mut pairs = Vec::new();
        for rows in alike.values_mut() {
            rows.sort();
            for near in rows.chunk_by(|a, b| b.0.0 - a.0.0 <= reach_us) {
                match near {
                    [(_, line, false), (_, entry, true)] | [(_, entry, true), (_, line, false)] => {
                        pairs.push(((*entry).clone(), (*line).clone()));
                    }
                    _ => {}
                }
            }
        }
        let take = |(entry, line): (UnitKey, UnitKey)| {
            let entries = self.entries.remove(&entry).expect("listed just now");
            unit(entries, self.lines.remove(&line).expect("listed just now"), MatchRule::MerchantTimeAmount)
        };
        pairs.into_iter().map(take).collect()
    }

    /// All that is left of a merchant and institution, when its sums agree and one row stands
    /// against several, all of one book. What an earlier run matched in part is left alone.
    fn by_sum(&mut self, date: Date) -> Vec<Unit> {
        type Side<'a> = (i64, Vec<&'a UnitKey>, usize, BTreeSet<(&'a str, bool)>);
        let mut groups: BTreeMap<(LineKind, &str, &str), [Side; 2]> = BTreeMap::new();
        for (key, group) in &self.entries {
            let countable = |e: &&LedgerEntry| {
                e.clearing_date == date && e.standing == Standing::Posted && e.matched != Matched::Elsewhere
            };
            for entry in group.iter().filter(countable) {
                let side = &mut groups.entry((key.kind, &key.merchant_id, &entry.institution)).or_default()[0];
                side.0 += entry.amount_fen;
                side.1.push(key);
                side.2 += group.len();
                side.3.insert((&entry.book, entry.matched == Matched::No));
            }
        }
        for (key, group) in &self.lines {
            for line in group.iter().filter(|l| l.moves_money()) {
                let side = &mut groups.entry((key.kind, &key.merchant_id, &line.line.institution)).or_default()[1];
                side.0 += line.line.amount_fen;
                side.1.push(key);
                side.2 += group.len();
            }
        }
        let one_to_many = |[ledger, file]: &[Side; 2]| {
            let counts = (ledger.1.len(), file.1.len());
            let whole = ledger.2 == counts.0 && file.2 == counts.1;
            // A key with several rows is a duplicate of its own, not a part of a sum.
            whole && ledger.0 == file.0 && ledger.3.len() == 1 && counts.0.min(counts.1) == 1 && counts.0 != counts.1
        };
        let groups: Vec<[Vec<UnitKey>; 2]> = groups
            .into_values()
            .filter(one_to_many)
            .map(|sides| sides.map(|side| side.1.into_iter().cloned().collect()))
            .collect();
        let take = |[entries, lines]: [Vec<UnitKey>; 2]| {
            let entries = entries.iter().flat_map(|key| self.entries.remove(key).expect("listed just now"));
            let lines = lines.iter().flat_map(|key| self.lines.remove(key).expect("listed just now"));
            unit(entries.collect(), lines.collect(), MatchRule::GroupedSum)
        };
        groups.into_iter().map(take).collect()
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
    Unit { key, entries, lines, rule, tolerances: Vec::new(), difference: None, fields: Vec::new() }
}

fn tolerances(unit: &Unit, terms: &Terms) -> Vec<String> {
    if unit.entries.is_empty() {
        return Vec::new();
    }
    let off = |l: &FileLine| terms.exact_fee(&l.line).abs_diff(l.line.fee_fen);
    let mut names: BTreeSet<&str> =
        unit.money_lines().filter_map(|l| terms.covering(ToleranceOf::FeeFen, off(l))).collect();
    if let (MatchRule::MerchantTimeAmount, [entry], [line]) = (unit.rule, &unit.entries[..], &unit.lines[..]) {
        let at = parse_beijing(&entry.key.transaction_time).map_or(0, |at| at.0 / 1_000_000);
        let off = at.abs_diff(line.line.transaction_time.0 / 1_000_000);
        names.extend(terms.covering(ToleranceOf::TransactionTimeS, off));
    }
    names.into_iter().map(str::to_owned).collect()
}

/// The first difference that holds, in the order of DESIGN.md §7.
fn difference(unit: &Unit, terms: &Terms) -> Option<BreakClass> {
    if unit.rule == MatchRule::GroupedSum {
        return (!unit.fields.is_empty()).then_some(BreakClass::FeeMismatch);
    }
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
    if unit.rule == MatchRule::GroupedSum {
        let sum = |fee: &dyn Fn(&SettlementLine) -> i64| unit.lines.iter().map(|l| fee(&l.line)).sum::<i64>();
        let (ledger, channel) = (sum(&|l| terms.agreed_fee(l)).to_string(), sum(&|l| l.fee_fen).to_string());
        let differs = unit.lines.iter().any(|l| terms.agreed_fee(&l.line) != l.line.fee_fen);
        return differs.then(|| FieldDifference::of("fee_fen", ledger, channel)).into_iter().collect();
    }
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
    differing.map(|(field, ledger, channel)| FieldDifference::of(field, ledger, channel)).collect()
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
            tolerances: vec![],
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
            book: "110000/care_subsidy".into(),
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
            line: Arc::new(SettlementLine {
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
            }),
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
                    Arc::make_mut(&mut failed.line).status = LineStatus::Failed;
                    l.push(failed);
                },
                None,
                EndToEnd,
            ),
            ("matched on another date", |e, _, _| e[0].matched = Matched::Elsewhere, Some(Duplicate), EndToEnd),
            (
                "other time",
                |_, l, _| {
                    Arc::make_mut(&mut l[0].line).transaction_time = l[0].line.transaction_time.plus_us(1_000_000)
                },
                None,
                OrderId,
            ),
            (
                "two lines of the order, neither the time",
                |_, l, _| {
                    Arc::make_mut(&mut l[0].line).transaction_time = l[0].line.transaction_time.plus_us(1_000_000);
                    let mut other = line(9, "ORDER1", 100);
                    Arc::make_mut(&mut other.line).transaction_time = other.line.transaction_time.plus_us(2_000_000);
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
                    Arc::make_mut(&mut l[0].line).status = LineStatus::Failed
                },
                None,
                MatchRule::None,
            ),
            (
                "orphaned refund",
                |e, l, _| {
                    e.clear();
                    Arc::make_mut(&mut l[0].line).kind = LineKind::Refund;
                    Arc::make_mut(&mut l[0].line).original_order_id = Some("ORDERUNKNOWN".into());
                },
                Some(RefundOrphan),
                MatchRule::None,
            ),
            (
                "refund of a known payment",
                |e, l, _| {
                    e.clear();
                    Arc::make_mut(&mut l[0].line).kind = LineKind::Refund;
                    Arc::make_mut(&mut l[0].line).original_order_id = Some("ORDERKNOWN".into());
                },
                Some(ChannelOnly),
                MatchRule::None,
            ),
            (
                "other payee and amount",
                |e, l, _| {
                    e[0].amount_fen = 1;
                    Arc::make_mut(&mut l[0].line).institution = "12110105XXXX00027C".into();
                },
                Some(PartyMismatch),
                EndToEnd,
            ),
            ("held", |e, _, _| e[0].standing = Standing::Held, Some(StatusMismatch), EndToEnd),
            ("reversed", |e, _, _| e[0].standing = Standing::Gone, Some(StatusMismatch), EndToEnd),
            (
                "failed in the file",
                |_, l, _| Arc::make_mut(&mut l[0].line).status = LineStatus::Failed,
                Some(StatusMismatch),
                EndToEnd,
            ),
            (
                "other amount",
                |e, l, _| {
                    e[0].amount_fen = 99;
                    Arc::make_mut(&mut l[0].line).fee_fen += 1
                },
                Some(AmountMismatch),
                EndToEnd,
            ),
            ("other fee", |_, l, _| Arc::make_mut(&mut l[0].line).fee_fen += 1, Some(FeeMismatch), EndToEnd),
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
                Arc::make_mut(&mut l.line).transaction_time =
                    l.line.transaction_time.plus_us(i64::from(time) * 1_000_000);
                Arc::make_mut(&mut l.line).status = if success { LineStatus::Success } else { LineStatus::Failed };
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
