//! Which entries of bank statements show which payouts. By end-to-end ids first; what these leave over, by the
//! fallbacks of the channel's policy in their order. A rule that fits in two ways fits in none: what cannot be
//! told apart stays open. Sums agree to the fen.
//!
//! | Rule | Payouts | Entries |
//! |---|---|---|
//! | `END_TO_END_ID` | those of an id | transactions of this id |
//! | `STATEMENT_IDS` | one without an id that was found | transactions with the ids of the settlement statements that it settled |
//! | `AMOUNT_AND_DATE` | one | one of the amount, from the payout's day to its due day, that names no other payee |
//! | `BULK` | all of a day, or of a day and payee | one whole entry of their sum |

use std::collections::{BTreeMap, BTreeSet};

use crate::text_enum;
use crate::time::Date;

text_enum! {
    /// How bank entries and payouts found each other, in the order of trial.
    pub enum ProofRule {
        /// The payout's own id (ISO 20022 EndToEndId).
        EndToEndId = "END_TO_END_ID",
        /// Ids of the settlement statements that it settled.
        StatementIds = "STATEMENT_IDS",
        /// The only entry of its amount in time, and the only payout of the entry's.
        AmountAndDate = "AMOUNT_AND_DATE",
        /// One entry is the sum of a day's payouts, or one payout that of an entry's transactions.
        Bulk = "BULK",
    }
}

impl ProofRule {
    /// Whether a policy may name it, and in which place.
    pub const fn is_fallback(self) -> bool {
        matches!(self, Self::AmountAndDate | Self::Bulk)
    }
}

/// A payout that a bank's statement is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// `payouts/…`.
    pub payout: String,
    /// Negative: collected.
    pub amount_fen: i64,
    pub paid_on: Date,
    /// Last day on which the bank is to have booked it.
    pub due_on: Date,
    /// Empty: none given.
    pub end_to_end_id: String,
    /// Those of the settlement statements that it settled.
    pub statement_ids: Vec<String>,
    /// `institutions/{uscc}`; absent on bulk payouts.
    pub institution: Option<String>,
    /// Last digits of the account paid; may be empty.
    pub last4: String,
}

/// A booked transaction of a bank statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `{file}#{entry}`, of one transaction of a bulk entry `{file}#{entry}.{part}`.
    pub name: String,
    pub file: String,
    /// Position of its entry in the file.
    pub entry: i64,
    /// What left the account; negative: what came in.
    pub paid_fen: i64,
    pub booked_on: Date,
    pub end_to_end_id: String,
    /// Unified social credit code of the other side; may be empty.
    pub institution: String,
    pub last4: String,
}

/// Payouts and entries that belong together, as positions in what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    pub rule: ProofRule,
    pub payouts: Vec<usize>,
    pub entries: Vec<usize>,
}

/// What became of payouts and entries; each is in one pairing, or in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// Their sums agree.
    pub proven: Vec<Pairing>,
    /// Their ids say that they belong together, and their sums differ.
    pub differing: Vec<Pairing>,
    /// Entries that show no payout.
    pub rest: Vec<usize>,
}

/// Finds the entries of each payout. The order of either does not matter.
pub fn prove(payouts: &[Awaited], entries: &[Shown], fallbacks: &[ProofRule]) -> Proofs {
    let mut desk = Desk {
        payouts,
        entries,
        open_payouts: (0..payouts.len()).collect(),
        open_entries: (0..entries.len()).collect(),
        found: Proofs::default(),
    };
    desk.by_id();
    desk.by_statement_ids();
    for rule in fallbacks {
        match rule {
            ProofRule::AmountAndDate => desk.by_amount_and_date(),
            ProofRule::Bulk => desk.by_bulk(),
            // A policy names no others.
            ProofRule::EndToEndId | ProofRule::StatementIds => {}
        }
    }
    desk.found.rest = desk.open_entries.into_iter().collect();
    desk.found
}

struct Desk<'a> {
    payouts: &'a [Awaited],
    entries: &'a [Shown],
    open_payouts: BTreeSet<usize>,
    open_entries: BTreeSet<usize>,
    found: Proofs,
}

impl<'a> Desk<'a> {
    /// Takes payouts and entries off the desk, together.
    fn pair(&mut self, rule: ProofRule, payouts: Vec<usize>, entries: Vec<usize>) {
        for at in &payouts {
            self.open_payouts.remove(at);
        }
        for at in &entries {
            self.open_entries.remove(at);
        }
        let agrees = self.due_fen(&payouts) == self.paid_fen(&entries);
        let pairing = Pairing { rule, payouts, entries };
        if agrees { self.found.proven.push(pairing) } else { self.found.differing.push(pairing) }
    }

    fn due_fen(&self, payouts: &[usize]) -> i64 {
        payouts.iter().map(|at| self.payouts[*at].amount_fen).sum()
    }

    fn paid_fen(&self, entries: &[usize]) -> i64 {
        entries.iter().map(|at| self.entries[*at].paid_fen).sum()
    }

    /// Open entries by their end-to-end ids.
    fn by_end_to_end_id(&self) -> BTreeMap<&'a str, Vec<usize>> {
        let entries = self.entries;
        let mut of_id: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for at in self.open_entries.iter().filter(|at| !entries[**at].end_to_end_id.is_empty()) {
            of_id.entry(&entries[*at].end_to_end_id).or_default().push(*at);
        }
        of_id
    }

    fn by_id(&mut self) {
        let asked = self.payouts;
        let mut payouts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, payout) in asked.iter().enumerate().filter(|(_, p)| !p.end_to_end_id.is_empty()) {
            payouts.entry(&payout.end_to_end_id).or_default().push(at);
        }
        let mut entries = self.by_end_to_end_id();
        let pairs: Vec<_> =
            payouts.into_iter().filter_map(|(id, payouts)| Some((payouts, entries.remove(id)?))).collect();
        for (payouts, entries) in pairs {
            self.pair(ProofRule::EndToEndId, payouts, entries);
        }
    }

    fn by_statement_ids(&mut self) {
        let of_id = self.by_end_to_end_id();
        let mut claims: BTreeMap<&str, usize> = BTreeMap::new();
        let payouts = self.payouts;
        for id in self.open_payouts.iter().flat_map(|at| &payouts[*at].statement_ids) {
            *claims.entry(id).or_default() += 1;
        }
        for at in self.open_payouts.clone() {
            let ids = &payouts[at].statement_ids;
            // A statement that two payouts name says of neither which entry is its own.
            if ids.iter().any(|id| claims.get(id.as_str()).is_some_and(|n| *n > 1)) {
                continue;
            }
            let entries: Vec<usize> = ids.iter().filter_map(|id| of_id.get(id.as_str())).flatten().copied().collect();
            if !entries.is_empty() {
                self.pair(ProofRule::StatementIds, vec![at], entries);
            }
        }
    }

    fn by_amount_and_date(&mut self) {
        let mut of_amount: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for at in &self.open_entries {
            of_amount.entry(self.entries[*at].paid_fen).or_default().push(*at);
        }
        let mut fitting = Vec::new();
        let mut claims: BTreeMap<usize, usize> = BTreeMap::new();
        for at in &self.open_payouts {
            let payout = &self.payouts[*at];
            let alike = of_amount.get(&payout.amount_fen).into_iter().flatten();
            let fits: Vec<usize> = alike.copied().filter(|e| payout.may_be(&self.entries[*e])).collect();
            fits.iter().for_each(|e| *claims.entry(*e).or_default() += 1);
            fitting.push((*at, fits));
        }
        for (payout, fits) in fitting {
            if let [only] = fits[..]
                && claims[&only] == 1
            {
                self.pair(ProofRule::AmountAndDate, vec![payout], vec![only]);
            }
        }
    }

    fn by_bulk(&mut self) {
        let mut whole: BTreeMap<(&str, i64), Vec<usize>> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            whole.entry((&entry.file, entry.entry)).or_default().push(at);
        }
        let is_open = |entries: &Vec<usize>| entries.iter().all(|at| self.open_entries.contains(at));
        let whole: Vec<Vec<usize>> = whole.into_values().filter(is_open).collect();
        let mut groups: BTreeSet<Vec<usize>> = BTreeSet::new();
        let mut of_day: BTreeMap<Date, Vec<usize>> = BTreeMap::new();
        let mut of_payee: BTreeMap<(Date, Option<&str>), Vec<usize>> = BTreeMap::new();
        for at in &self.open_payouts {
            let payout = &self.payouts[*at];
            of_day.entry(payout.paid_on).or_default().push(*at);
            of_payee.entry((payout.paid_on, payout.institution.as_deref())).or_default().push(*at);
        }
        groups.extend(of_day.into_values());
        groups.extend(of_payee.into_values());
        let mut pairs: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
        for entries in &whole {
            let paid_fen = self.paid_fen(entries);
            let fits = |group: &&Vec<usize>| {
                let in_time =
                    |at: &usize| entries.iter().all(|e| self.payouts[*at].is_in_time(self.entries[*e].booked_on));
                // One by one is the affair of the other rules.
                let is_bulk = group.len() > 1 || entries.len() > 1;
                is_bulk && self.due_fen(group) == paid_fen && group.iter().all(in_time)
            };
            pairs.extend(groups.iter().filter(fits).map(|group| (group.clone(), entries.clone())));
        }
        // Of what fits in two ways nobody can say which it is.
        let mut claims: BTreeMap<usize, usize> = BTreeMap::new();
        let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
        for (payouts, entries) in &pairs {
            payouts.iter().for_each(|at| *claims.entry(*at).or_default() += 1);
            *shown.entry(entries[0]).or_default() += 1;
        }
        let is_only = |(payouts, entries): &&(Vec<usize>, Vec<usize>)| {
            shown[&entries[0]] == 1 && payouts.iter().all(|at| claims[at] == 1)
        };
        for (payouts, entries) in pairs.iter().filter(is_only).cloned().collect::<Vec<_>>() {
            self.pair(ProofRule::Bulk, payouts, entries);
        }
    }
}

impl Awaited {
    fn is_in_time(&self, booked_on: Date) -> bool {
        (self.paid_on..=self.due_on).contains(&booked_on)
    }

    /// Nothing that both state speaks against it.
    fn may_be(&self, entry: &Shown) -> bool {
        let agrees = |ours: &str, theirs: &str| ours.is_empty() || theirs.is_empty() || ours == theirs;
        let institution = self.institution.as_deref().unwrap_or_default().trim_start_matches("institutions/");
        self.is_in_time(entry.booked_on) && agrees(institution, &entry.institution) && agrees(&self.last4, &entry.last4)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(n: i64) -> Date {
        "2026-11-16".parse::<Date>().unwrap().plus_days(n)
    }

    fn payout(n: usize, amount_fen: i64, id: &str) -> Awaited {
        Awaited {
            payout: format!("payouts/{n}"),
            amount_fen,
            paid_on: day(0),
            due_on: day(2),
            end_to_end_id: id.into(),
            statement_ids: vec![],
            institution: None,
            last4: String::new(),
        }
    }

    fn shown(entry: i64, part: i64, paid_fen: i64, id: &str) -> Shown {
        Shown {
            name: format!("files/f#{entry}.{part}"),
            file: "files/f".into(),
            entry,
            paid_fen,
            booked_on: day(1),
            end_to_end_id: id.into(),
            institution: String::new(),
            last4: String::new(),
        }
    }

    const BOTH: &[ProofRule] = &[ProofRule::AmountAndDate, ProofRule::Bulk];

    /// Rule, payouts and entries of each pairing.
    fn pairs(pairings: &[Pairing]) -> Vec<(ProofRule, Vec<usize>, Vec<usize>)> {
        pairings.iter().map(|p| (p.rule, p.payouts.clone(), p.entries.clone())).collect()
    }

    #[test]
    fn each_rule_and_what_it_leaves_to_the_next() {
        use ProofRule::*;
        let by_statements = Awaited { statement_ids: vec!["S1".into(), "S2".into()], ..payout(1, 70, "") };
        let payouts = [payout(0, 100, "A"), by_statements, payout(2, 55, "LOST"), payout(3, 30, ""), payout(4, 12, "")];
        let entries = [
            shown(1, 0, 100, "A"),
            shown(2, 1, 40, "S1"),
            shown(2, 2, 30, "S2"),
            shown(3, 0, 55, "NOTPROVIDED"),
            shown(4, 0, 42, ""),
            shown(5, 0, 7, ""),
        ];
        let found = prove(&payouts, &entries, BOTH);
        let expected = [
            (EndToEndId, vec![0], vec![0]),
            (StatementIds, vec![1], vec![1, 2]),
            (AmountAndDate, vec![2], vec![3]),
            (Bulk, vec![3, 4], vec![4]),
        ];
        assert_eq!((pairs(&found.proven), found.differing, found.rest), (expected.to_vec(), vec![], vec![5]));
        let found = prove(&payouts, &entries, &[]);
        assert_eq!((found.proven.len(), found.rest), (2, vec![3, 4, 5]), "no fallback is named");
    }

    #[test]
    fn an_id_with_another_sum_differs_and_a_return_takes_the_payment_back() {
        let found = prove(&[payout(0, 100, "A")], &[shown(1, 0, 99, "A")], BOTH);
        assert_eq!(pairs(&found.differing), [(ProofRule::EndToEndId, vec![0], vec![0])]);
        let returned = [shown(1, 0, 100, "A"), shown(2, 0, -100, "A")];
        let found = prove(&[payout(0, 100, "A")], &returned, BOTH);
        assert_eq!(
            (found.proven, pairs(&found.differing)),
            (vec![], vec![(ProofRule::EndToEndId, vec![0], vec![0, 1])])
        );
    }

    #[test]
    fn what_fits_in_two_ways_fits_in_none() {
        let alike = [payout(0, 50, ""), payout(1, 50, "")];
        let found = prove(&alike, &[shown(1, 0, 50, "")], BOTH);
        assert_eq!((found.proven.len(), found.rest), (0, vec![0]));
        let found = prove(&alike, &[shown(1, 0, 100, ""), shown(2, 0, 100, "")], BOTH);
        assert_eq!((found.proven.len(), found.rest), (0, vec![0, 1]));
        // The payee tells them apart.
        let named = alike.clone().map(|p| Awaited { institution: Some("institutions/X".into()), ..p });
        let [first, _] = named;
        let [_, second] = alike;
        let of_x = Shown { institution: "X".into(), ..shown(1, 0, 50, "") };
        let of_y = Shown { institution: "Y".into(), ..shown(2, 0, 50, "") };
        let found = prove(&[first, second], &[of_y, of_x], BOTH);
        assert_eq!((found.proven.len(), found.rest.len()), (0, 2), "the second may be either");
    }

    #[test]
    fn time_payee_and_account_speak_against() {
        let asked = Awaited { institution: Some("institutions/X".into()), last4: "0017".into(), ..payout(0, 50, "") };
        for (why, entry, proves) in [
            ("as it is", shown(1, 0, 50, ""), true),
            ("before", Shown { booked_on: day(-1), ..shown(1, 0, 50, "") }, false),
            ("after", Shown { booked_on: day(3), ..shown(1, 0, 50, "") }, false),
            ("another payee", Shown { institution: "Y".into(), ..shown(1, 0, 50, "") }, false),
            ("another account", Shown { last4: "0018".into(), ..shown(1, 0, 50, "") }, false),
            ("came in", shown(1, 0, -50, ""), false),
        ] {
            let found = prove(std::slice::from_ref(&asked), &[entry], BOTH);
            assert_eq!(found.proven.len(), usize::from(proves), "{why}");
        }
    }

    /// Payouts and entries in which anything may fit anything.
    fn any_day() -> impl Strategy<Value = (Vec<Awaited>, Vec<Shown>)> {
        let id = || prop_oneof![3 => Just(String::new()), 2 => (0..4u8).prop_map(|n| format!("E{n}"))];
        let asked = (1..6i64, 0..3i64, id(), proptest::collection::vec(0..4u8, 0..3));
        let asked = proptest::collection::vec(asked, 0..8).prop_map(|rows| {
            let of = |(n, (fen, on, id, ids)): (usize, (i64, i64, String, Vec<u8>))| Awaited {
                paid_on: day(on),
                due_on: day(on + 2),
                statement_ids: ids.into_iter().map(|n| format!("E{n}")).collect::<BTreeSet<_>>().into_iter().collect(),
                ..payout(n, fen, &id)
            };
            rows.into_iter().enumerate().map(of).collect()
        });
        let entries = (0..5i64, prop_oneof![5 => 1..8i64, 1 => -3..0i64], 0..5i64, id());
        let entries = proptest::collection::vec(entries, 0..10).prop_map(|rows| {
            let of = |(n, (entry, fen, on, id)): (usize, (i64, i64, i64, String))| Shown {
                booked_on: day(on),
                ..shown(entry, n as i64, fen, &id)
            };
            rows.into_iter().enumerate().map(of).collect()
        });
        (asked, entries)
    }

    /// Pairings by the names of what is in them.
    fn named(
        found: &Proofs,
        payouts: &[Awaited],
        entries: &[Shown],
    ) -> BTreeSet<(bool, String, Vec<String>, Vec<String>)> {
        let of = |is_proven: bool| {
            move |p: &Pairing| {
                let mut asked: Vec<String> = p.payouts.iter().map(|at| payouts[*at].payout.clone()).collect();
                let mut shown: Vec<String> = p.entries.iter().map(|at| entries[*at].name.clone()).collect();
                asked.sort();
                shown.sort();
                (is_proven, p.rule.to_string(), asked, shown)
            }
        };
        found.proven.iter().map(of(true)).chain(found.differing.iter().map(of(false))).collect()
    }

    proptest! {
        /// Nothing is used twice, nothing is lost, sums agree, and the order of arrival changes nothing.
        #[test]
        fn proofs_are_exact_and_of_no_order((payouts, entries) in any_day(), turn in 0..9usize) {
            let found = prove(&payouts, &entries, BOTH);
            let all = || found.proven.iter().chain(&found.differing);
            let used: Vec<usize> = all().flat_map(|p| &p.entries).chain(&found.rest).copied().collect();
            prop_assert_eq!(used.len(), entries.len());
            prop_assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), entries.len());
            let asked: Vec<usize> = all().flat_map(|p| &p.payouts).copied().collect();
            prop_assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len());
            let sums = |p: &Pairing| {
                let due: i64 = p.payouts.iter().map(|at| payouts[*at].amount_fen).sum();
                (due, p.entries.iter().map(|at| entries[*at].paid_fen).sum::<i64>())
            };
            prop_assert!(found.proven.iter().map(sums).all(|(due, paid)| due == paid));
            prop_assert!(found.differing.iter().map(sums).all(|(due, paid)| due != paid));

            let (mut turned_payouts, mut turned_entries) = (payouts.clone(), entries.clone());
            if !payouts.is_empty() {
                turned_payouts.rotate_left(turn % payouts.len());
            }
            turned_entries.reverse();
            let again = prove(&turned_payouts, &turned_entries, BOTH);
            prop_assert_eq!(named(&found, &payouts, &entries), named(&again, &turned_payouts, &turned_entries));
        }

        /// Planted: payouts of distinct amounts, each with its entry, by id or by amount, are all proven.
        #[test]
        fn what_is_planted_is_found(ids in proptest::collection::vec(any::<bool>(), 1..20), extra in 0..3i64) {
            let id = |n: usize, has: bool| if has { format!("E{n}") } else { String::new() };
            let amount = |n: usize| 1 << n;
            let payouts: Vec<Awaited> =
                ids.iter().enumerate().map(|(n, has)| payout(n, amount(n), &id(n, *has))).collect();
            let mut entries: Vec<Shown> =
                ids.iter().enumerate().map(|(n, has)| shown(n as i64, 0, amount(n), &id(n, *has))).collect();
            // Larger than all payouts together.
            entries.extend((0..extra).map(|n| shown(100 + n, 0, 1 << 40, "")));
            let found = prove(&payouts, &entries, BOTH);
            prop_assert_eq!(found.proven.len(), payouts.len());
            prop_assert_eq!((found.differing.len(), found.rest.len()), (0, extra as usize));
            prop_assert!(found.proven.iter().all(|p| p.payouts == p.entries));
        }
    }
}
