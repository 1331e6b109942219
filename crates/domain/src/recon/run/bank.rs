//! What a bank's statements say: whether its balances are the ledger's, and which payouts it booked. Part of the
//! run of the channel that delivers the statements; judged again by each run, as all breaks are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::bank::{BankEntryRow, BankStatementRow, EntryDirection, EntryStatus, position_of};
use super::super::breaks;
use super::super::file::LineKind;
use super::super::proof::{Awaited, Pairing, Shown, prove};
use super::super::rows::{BreakClass, BreakRow, BreakState, FieldDifference, FileRow, FileState, Resolution};
use super::StartRun;
use super::judge::BreakChange;
use super::load::{Day, Gather, Lines};
use super::so_far::Moved;
use crate::decision::Call;
use crate::entitlement::{MoneyEventKind, MoneyEventRow};
use crate::key;
use crate::ledger::{AccountKind, AccountRow, CashDayRow, Layer};
use crate::names::Participant;
use crate::policy::{self, BankAccount, ChannelPolicy, PayoutProof, WorkingDays};
use crate::settlement::{PayoutProofState, PayoutRow, end_to_end_id};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// The rule by which these breaks are judged; it tells them from others of their classes.
const RULE: &str = "BANK_STATEMENT";
/// A statement so many days newer than a run's date is the newest that the run looks for.
const NEWER_DAYS: i64 = 62;
/// An entry of a statement was booked at most so many days before its date.
const EARLIER_DAYS: i64 = 7;

/// What the statements came to.
#[derive(Default)]
pub struct Bank {
    pub changes: Vec<BreakChange>,
    /// Payouts that are proven now, or no more.
    pub payouts: Vec<PayoutRow>,
}

/// Judges balances and payouts. `moved` is what the run itself books.
pub fn judge(
    run: &StartRun,
    day: &Day,
    lines: &Lines,
    moved: &Moved,
    snapshot: &Snapshot,
    call: &Call,
) -> Result<Bank, Stop> {
    if day.policy.bank_accounts.is_empty() {
        return Ok(Bank::default());
    }
    let desk = Desk { run, day, lines, moved, snapshot, call };
    let stated = desk.load()?;
    let mut bank = Bank::default();
    bank.changes.extend(desk.balances(&stated)?);
    let payers: BTreeSet<&Participant> = day.policy.bank_accounts.iter().map(|bank| bank.payer(&run.channel)).collect();
    let mut open = BTreeSet::new();
    for payer in payers {
        if let Some(terms) = desk.terms_of(payer)? {
            desk.payouts(payer, &terms, &stated, &mut bank, &mut open)?;
        }
    }
    // Entries that are proven by now, or that no statement in force has any more.
    let over = day.breaks.values().filter(|b| {
        is_ours(b, BreakClass::PayoutMismatch) && b.subject.starts_with("files/") && !open.contains(&b.break_name)
    });
    bank.changes.extend(over.map(|b| desk.cleared(b)));
    Ok(bank)
}

/// An open break of a statement.
fn is_ours(row: &BreakRow, class: BreakClass) -> bool {
    row.is_open() && row.class == class && row.rule == RULE
}

/// A transaction of a mapped account.
struct Booked<'a> {
    row: Arc<BankEntryRow>,
    account: &'a BankAccount,
    /// The date of its statement.
    stated_on: Date,
}

/// What is known of statements.
struct Stated<'a> {
    /// Statements in force, of mapped accounts: of the run's date, newer, and those of open balance breaks.
    statements: Vec<Arc<BankStatementRow>>,
    /// Booked transactions of the run's own files, and those that open breaks name.
    entries: Vec<Booked<'a>>,
}

struct Desk<'a> {
    run: &'a StartRun,
    day: &'a Day,
    lines: &'a Lines<'a>,
    moved: &'a Moved,
    snapshot: &'a Snapshot,
    call: &'a Call,
}

impl<'a> Desk<'a> {
    fn load(&self) -> Result<Stated<'a>, Stop> {
        let (run, day, snapshot) = (self.run, self.day, self.snapshot);
        let newest = self.newest();
        let mut gather = Gather::default();
        let (mut files, mut statements, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for date in (0..=newest.days_since(run.clearing_date)).map(|n| run.clearing_date.plus_days(n)) {
            const DATE: &[&str] = &["channel", "clearing_date"];
            let of_date = || key![run.channel.clone(), date];
            files.extend(gather.all(snapshot.list::<FileRow>(DATE, of_date()))?);
            statements.extend(gather.all(snapshot.list::<BankStatementRow>(DATE, of_date()))?);
        }
        for file in &run.files {
            entries.extend(gather.all(snapshot.list::<BankEntryRow>(&["file"], key![file.file.clone()]))?);
        }
        for row in day.breaks.values() {
            let names = row.rows.0.iter().filter(|_| is_ours(row, BreakClass::PayoutMismatch));
            for (file, entry, part) in names.filter_map(|name| position_of(name)) {
                if !day.own_files.contains(file) {
                    files.extend(gather.ask(snapshot.get::<FileRow>(key![file.to_owned()]))?.flatten());
                    let key = key![file.to_owned(), entry, part];
                    entries.extend(gather.ask(snapshot.get::<BankEntryRow>(key))?.flatten());
                }
            }
            let balance = Some(&row.subject).filter(|_| is_ours(row, BreakClass::BalanceMismatch));
            if let Some((file, statement)) = balance.and_then(|subject| BankStatementRow::position_of(subject)) {
                files.extend(gather.ask(snapshot.get::<FileRow>(key![file.to_owned()]))?.flatten());
                let key = key![file.to_owned(), statement];
                statements.extend(gather.ask(snapshot.get::<BankStatementRow>(key))?.flatten());
            }
        }
        gather.end()?;
        // The entries' own statements say which account they are of.
        let mut gather = Gather::default();
        for entry in &entries {
            let key = key![entry.file.clone(), entry.statement];
            statements.extend(gather.ask(snapshot.get::<BankStatementRow>(key))?.flatten());
        }
        gather.end()?;
        let in_force: BTreeSet<&str> =
            files.iter().filter(|f| f.state == FileState::Received).map(|f| f.file.as_str()).collect();
        let accounts: BTreeMap<&str, &BankAccount> =
            day.policy.bank_accounts.iter().map(|bank| (bank.account.as_str(), bank)).collect();
        let statements: BTreeMap<(String, i64), (Arc<BankStatementRow>, &BankAccount)> = statements
            .into_iter()
            .filter(|row| in_force.contains(row.file.as_str()))
            .filter_map(|row| {
                Some(((row.file.clone(), row.statement), (row.clone(), *accounts.get(row.account.as_str())?)))
            })
            .collect();
        let booked = entries.into_iter().filter(|row| row.entry_status == EntryStatus::Booked);
        let entries: BTreeMap<(String, i64, i64), Booked> = booked
            .filter_map(|row| {
                let (statement, account) = statements.get(&(row.file.clone(), row.statement))?;
                let stated_on = statement.clearing_date;
                Some(((row.file.clone(), row.entry, row.part), Booked { row, account, stated_on }))
            })
            .collect();
        // An older statement may have an open entry still; its balance is history.
        let carried = |row: &BankStatementRow| {
            let name = row.name();
            day.breaks.values().any(|b| is_ours(b, BreakClass::BalanceMismatch) && b.subject == name)
        };
        let statements = statements.into_values().map(|(row, _)| row);
        let statements = statements.filter(|row| row.clearing_date >= run.clearing_date || carried(row));
        Ok(Stated { statements: statements.collect(), entries: entries.into_values().collect() })
    }

    /// The last date of which statements are looked for.
    fn newest(&self) -> Date {
        self.run.clearing_date.plus_days(NEWER_DAYS).min(self.call.now.clearing_date())
    }

    /// The closing balance of each account's newest statement is what the ledger's accounts had at the end of its day.
    fn balances(&self, stated: &Stated) -> Result<Vec<BreakChange>, Stop> {
        let mut gather = Gather::default();
        let mut changes = Vec::new();
        for bank in &self.day.policy.bank_accounts {
            let of_account = stated.statements.iter().filter(|row| row.account == bank.account);
            // A notice has no balance.
            let closed = of_account.filter_map(|row| Some((closed_on(row), row, row.closing_fen?)));
            let newest = closed.max_by_key(|(on, row, _)| (*on, row.clearing_date, row.statement, row.file.clone()));
            let Some((on, row, closing_fen)) = newest else { continue };
            let Some(ledger_fen) = gather.ask(self.ledger_fen(bank, on))? else { continue };
            changes.extend(gather.ask(self.balance(bank, row, closing_fen, ledger_fen))?.flatten());
        }
        gather.end()?;
        Ok(changes)
    }

    /// The break of a balance, after this statement: one at a time for each account, carried until it agrees.
    fn balance(
        &self,
        bank: &BankAccount,
        row: &BankStatementRow,
        closing_fen: i64,
        ledger_fen: i64,
    ) -> Result<Option<BreakChange>, Stop> {
        let carried =
            self.day.breaks.values().find(|b| is_ours(b, BreakClass::BalanceMismatch) && b.cause == bank.account);
        let fresh =
            breaks::fault_name(BreakClass::BalanceMismatch, &self.run.channel, row.clearing_date, &bank.account);
        let known = match carried {
            Some(carried) => Some(carried.clone()),
            None => self.snapshot.get::<BreakRow>(key![fresh.clone()])?,
        };
        let (name, date) =
            carried.map_or((fresh, row.clearing_date), |row| (row.break_name.clone(), row.clearing_date));
        let differs = closing_fen != ledger_fen;
        let wanted = differs.then(|| BreakRow {
            subject: row.name(),
            cause: bank.account.clone(),
            fields: Json(vec![difference("closing_fen", ledger_fen, closing_fen)]),
            amount_fen: (closing_fen - ledger_fen).abs(),
            ..self.about(bank, name, BreakClass::BalanceMismatch, date)
        });
        Ok(self.change(known.as_deref(), wanted))
    }

    /// What the ledger's accounts had at the end of a day, as known by now, with what this run books.
    fn ledger_fen(&self, bank: &BankAccount, on: Date) -> Result<i64, Stop> {
        // What channels report may be of tomorrow's clearing date, which begins tonight.
        let last = self.call.now.date().plus_days(2);
        let mut gather = Gather::default();
        let mut fen = 0;
        for account in bank.accounts(&self.run.channel) {
            let row = gather.ask(self.snapshot.get::<AccountRow>(key![account.clone()]))?.flatten();
            fen += row.map_or(0, |row| row.posted_fen);
            for date in (1..=last.days_since(on)).map(|n| on.plus_days(n)) {
                let day = gather.ask(self.snapshot.get::<CashDayRow>(key![account.clone(), date]))?.flatten();
                fen -= day.map_or(0, |day| day.posted_fen);
            }
            fen += self.moved.until(&account, Layer::Posted, on);
        }
        gather.end()?;
        Ok(fen)
    }

    /// When statements are to show a channel's payouts.
    fn terms_of(&self, payer: &Participant) -> Result<Option<PayoutProof>, Stop> {
        if *payer == self.run.channel {
            return Ok(self.day.policy.payout_proof.clone());
        }
        let terms = policy::find::<ChannelPolicy>(self.snapshot, payer.code(), self.run.clearing_date)?;
        Ok(terms.and_then(|terms| terms.payout_proof.clone()))
    }

    /// Proves a channel's payouts by the entries of the accounts that they leave. `open` takes the names of
    /// breaks about entries that stay.
    fn payouts(
        &self,
        payer: &Participant,
        terms: &PayoutProof,
        stated: &Stated,
        bank: &mut Bank,
        open: &mut BTreeSet<String>,
    ) -> Result<(), Stop> {
        let (day, snapshot) = (self.day, self.snapshot);
        let mut gather = Gather::default();
        let mut proven = Vec::new();
        for file in &day.own_files {
            proven.extend(gather.all(snapshot.list::<PayoutRow>(&["proof_file"], key![file.clone()]))?);
        }
        // Some have their last entry in a later file.
        let from = self.run.clearing_date.plus_days(-EARLIER_DAYS);
        for date in (0..=self.newest().days_since(from)).map(|n| from.plus_days(n)) {
            let of_date = key![date, payer.clone()];
            proven.extend(gather.all(snapshot.list::<PayoutRow>(&["proven_on", "channel"], of_date))?);
        }
        let awaited = key![PayoutProofState::Awaited, payer.clone()];
        let mut rows = gather.all(snapshot.list::<PayoutRow>(&["proof", "channel"], awaited))?;
        gather.end()?;
        // What a file proved that is replaced by now is awaited again; all else that is proven is so still.
        let replaced: BTreeSet<&str> = {
            let in_force: BTreeSet<&str> = self.run.files.iter().map(|f| f.file.as_str()).collect();
            day.own_files.iter().map(String::as_str).filter(|file| !in_force.contains(file)).collect()
        };
        let rests_on = |name: &String| replaced.contains(name.split('#').next().unwrap_or_default());
        let still = |row: &&Arc<PayoutRow>| !row.bank_entries.0.iter().any(rests_on);
        let used: BTreeSet<&str> =
            proven.iter().filter(still).flat_map(|row| &row.bank_entries.0).map(String::as_str).collect();
        rows.extend(proven.iter().filter(|row| row.channel == *payer && !still(row)).cloned());
        rows.sort_by(|a, b| a.payout.cmp(&b.payout));
        rows.dedup_by(|a, b| a.payout == b.payout);

        let is_payers = |booked: &&Booked| {
            let name = booked.row.name();
            booked.account.payer(&self.run.channel) == payer
                && !used.contains(name.as_str())
                && !self.lines.has_order(LineKind::OperatingSubsidy, &booked.row.end_to_end_id)
        };
        let booked: Vec<&Booked> = stated.entries.iter().filter(is_payers).collect();
        let shown: Vec<Shown> = booked.iter().map(|booked| shown(&booked.row)).collect();
        let asked: Vec<Awaited> = rows.iter().map(|row| self.awaited(row, terms)).collect();
        let found = prove(&asked, &shown, &terms.fallbacks);

        let mut gather = Gather::default();
        let mut paired: BTreeMap<usize, (&Pairing, bool)> = BTreeMap::new();
        for (pairing, is_proven) in
            found.proven.iter().map(|p| (p, true)).chain(found.differing.iter().map(|p| (p, false)))
        {
            paired.extend(pairing.payouts.iter().map(|at| (*at, (pairing, is_proven))));
        }
        for (at, row) in rows.iter().enumerate() {
            let pairing = paired.get(&at);
            let proof = pairing.filter(|(_, is_proven)| *is_proven).map(|(pairing, _)| *pairing);
            bank.payouts.extend(self.proven(row, proof, &shown));
            let differing = pairing.filter(|(_, is_proven)| !is_proven).map(|(pairing, _)| *pairing);
            let known = gather.ask(snapshot.get::<BreakRow>(key![break_of(&row.payout)]))?.flatten();
            let account = self.account_of(payer);
            let wanted = match (proof, differing) {
                (Some(_), _) => None,
                (None, Some(pairing)) => Some(self.differs(account, row, pairing, &asked, &shown)),
                (None, None) => self.missing(account, row, &asked[at], known.as_deref()),
            };
            bank.changes.extend(self.change(known.as_deref(), wanted));
        }
        // What a corrected statement shows again has its name again, whatever its place in the file.
        let mut alike: BTreeMap<String, i64> = BTreeMap::new();
        for at in &found.rest {
            let booked = booked[*at];
            if !is_unexpected(&booked.row) || gather.ask(self.is_funding(booked))?.unwrap_or(true) {
                continue;
            }
            let row = &booked.row;
            let mark = format!(
                "{} {} {} {} {} {} {}",
                booked.account.account,
                booked.stated_on,
                row.booked_on,
                row.bank_reference,
                row.end_to_end_id,
                row.direction,
                row.amount_fen
            );
            let n = alike.entry(mark.clone()).or_default();
            *n += 1;
            let name = breaks::fault_name(
                BreakClass::PayoutMismatch,
                &self.run.channel,
                row.booked_on,
                &format!("{mark} {n}"),
            );
            let known = gather.ask(snapshot.get::<BreakRow>(key![name.clone()]))?.flatten();
            open.insert(name.clone());
            let wanted = self.unexpected(booked, name);
            bank.changes.extend(self.change(known.as_deref(), Some(wanted)));
        }
        gather.end()
    }

    fn awaited(&self, row: &PayoutRow, terms: &PayoutProof) -> Awaited {
        Awaited {
            payout: row.payout.clone(),
            amount_fen: row.amount_fen,
            paid_on: row.paid_on,
            due_on: self.day.calendar.after_working_days(row.paid_on, terms.working_days),
            end_to_end_id: row.end_to_end_id.clone(),
            statement_ids: row.statements.0.iter().map(|statement| end_to_end_id(statement)).collect(),
            institution: row.institution.clone(),
            last4: row.account_last4.clone(),
        }
    }

    /// The payout's next version, if its proof is another one now.
    fn proven(&self, row: &PayoutRow, proof: Option<&Pairing>, shown: &[Shown]) -> Option<PayoutRow> {
        let entries: Vec<&Shown> = proof.into_iter().flat_map(|p| &p.entries).map(|at| &shown[*at]).collect();
        let last = entries.iter().max_by_key(|entry| (entry.booked_on, &entry.file));
        let next = PayoutRow {
            proof: if proof.is_some() { PayoutProofState::Proven } else { PayoutProofState::Awaited },
            proof_rule: proof.map(|proof| proof.rule),
            proof_file: last.map(|entry| entry.file.clone()),
            bank_entries: Json(entries.iter().map(|entry| entry.name.clone()).collect()),
            proven_on: last.map(|entry| entry.booked_on),
            ..row.clone()
        };
        (next != *row).then(|| PayoutRow { recorded_at_us: self.call.now, version: row.version + 1, ..next })
    }

    /// Ids say that they belong together, and the bank has another sum.
    fn differs(
        &self,
        account: &BankAccount,
        row: &PayoutRow,
        pairing: &Pairing,
        asked: &[Awaited],
        shown: &[Shown],
    ) -> BreakRow {
        let due_fen: i64 = pairing.payouts.iter().map(|at| asked[*at].amount_fen).sum();
        let paid_fen: i64 = pairing.entries.iter().map(|at| shown[*at].paid_fen).sum();
        let fields = vec![difference("amount_fen", due_fen, paid_fen)];
        BreakRow {
            cause: breaks::cause_of(&fields),
            fields: Json(fields),
            rows: Json(pairing.entries.iter().map(|at| shown[*at].name.clone()).collect()),
            amount_fen: (due_fen - paid_fen).abs(),
            ..self.about_payout(account, row, BreakClass::PayoutMismatch)
        }
    }

    /// No statement shows it by its due day; an absent file is no statement.
    fn missing(
        &self,
        account: &BankAccount,
        row: &PayoutRow,
        asked: &Awaited,
        known: Option<&BreakRow>,
    ) -> Option<BreakRow> {
        let is_due = asked.due_on <= self.run.clearing_date && self.day.missing_files == 0;
        let is_known = known.is_some_and(|b| is_ours(b, BreakClass::PayoutMissing));
        (is_due || is_known).then(|| BreakRow {
            cause: asked.due_on.to_string(),
            amount_fen: row.amount_fen.abs(),
            ..self.about_payout(account, row, BreakClass::PayoutMissing)
        })
    }

    fn about_payout(&self, account: &BankAccount, row: &PayoutRow, class: BreakClass) -> BreakRow {
        let about = self.about(account, break_of(&row.payout), class, row.paid_on);
        let region = row.region.clone().or(about.region);
        BreakRow { subject: row.payout.clone(), region, ..about }
    }

    /// Money left the account, or a payment was taken back, and nobody reported it.
    fn unexpected(&self, booked: &Booked, name: String) -> BreakRow {
        let row = &booked.row;
        let reference = row.name();
        BreakRow {
            subject: reference.clone(),
            rows: Json(vec![reference]),
            cause: booked.account.account.clone(),
            fields: Json(vec![difference("amount_fen", 0, -row.direction.signed(row.amount_fen))]),
            amount_fen: row.amount_fen,
            ..self.about(booked.account, name, BreakClass::PayoutMismatch, row.booked_on)
        }
    }

    /// Whether it is the money that a region placed with a channel, by the bank's reference of the funding.
    fn is_funding(&self, booked: &Booked) -> Result<bool, Stop> {
        if booked.account.ledger != AccountKind::Bank || booked.row.direction != EntryDirection::Debit {
            return Ok(false);
        }
        const BY: &[&str] = &["reporter", "programme", "kind", "reference", "funder_division"];
        let references = [&booked.row.bank_reference, &booked.row.end_to_end_id];
        let mut gather = Gather::default();
        let mut is_known = false;
        for book in &booked.account.books {
            for reference in references.into_iter().filter(|reference| !reference.is_empty()) {
                let (region, programme) = (book.region().clone(), book.programme().to_owned());
                let values = key![region, programme, MoneyEventKind::ChannelFunded, reference.clone(), String::new()];
                let events = gather.all(self.snapshot.list::<MoneyEventRow>(BY, values))?;
                is_known |= events.iter().any(|event| event.amount_fen == booked.row.amount_fen);
            }
        }
        gather.end()?;
        Ok(is_known)
    }

    /// The account that a channel's payouts leave; where there are several, the first.
    fn account_of(&self, payer: &Participant) -> &'a BankAccount {
        let accounts = &self.day.policy.bank_accounts;
        accounts.iter().find(|bank| bank.payer(&self.run.channel) == payer).expect("payers are those of accounts")
    }

    /// A break as this run would open it.
    fn about(&self, account: &BankAccount, name: String, class: BreakClass, date: Date) -> BreakRow {
        let regions: BTreeSet<&Participant> = account.books.iter().map(|book| book.region()).collect();
        let only_book = account.books.first().filter(|_| account.books.len() == 1);
        let run = self.run.run_name(self.day);
        BreakRow {
            channel: Some(self.run.channel.clone()),
            region: regions.first().filter(|_| regions.len() == 1).map(|region| (*region).clone()),
            programme: only_book.map(|book| book.programme().to_owned()),
            rule: RULE.to_owned(),
            opened_by: Some(run.clone()),
            seen_by: Some(run),
            ..breaks::open(name, class, "", date, self.call.now)
        }
    }

    fn cleared(&self, row: &BreakRow) -> BreakChange {
        BreakChange { row: breaks::clear(row, &self.run.run_name(self.day), self.call.now), take_back: Vec::new() }
    }

    /// What becomes of a break that is known, or not, and should stand as wanted, or not at all. What people
    /// have resolved stays resolved.
    fn change(&self, known: Option<&BreakRow>, wanted: Option<BreakRow>) -> Option<BreakChange> {
        let wanted = wanted.map(|row| self.day.terms.judged(row));
        let row = match (known, wanted) {
            (None, wanted) => wanted?,
            (Some(known), None) if known.is_open() && known.rule == RULE => return Some(self.cleared(known)),
            (Some(_), None) => return None,
            (Some(known), Some(wanted)) if known.is_open() => {
                let now = breaks::as_found(known, wanted);
                if now == *known {
                    return None;
                }
                breaks::next(Some(known), now, &self.run.run_name(self.day), self.call)
            }
            (Some(known), Some(wanted)) if known.resolution == Some(Resolution::Cleared) => {
                breaks::reopen(known, wanted)
            }
            (Some(_), Some(_)) => return None,
        };
        debug_assert!(row.state != BreakState::Resolved);
        Some(BreakChange { row, take_back: Vec::new() })
    }
}

/// The day at whose end the closing balance is; one far from the statement's date is not believed.
fn closed_on(row: &BankStatementRow) -> Date {
    let near = |on: &Date| on.days_since(row.clearing_date).abs() <= EARLIER_DAYS;
    row.closing_on.filter(near).unwrap_or(row.clearing_date)
}

/// One break for each payout, whether no statement shows it or one shows another sum.
fn break_of(payout: &str) -> String {
    breaks::finding_name(BreakClass::PayoutMissing, None, payout)
}

fn difference(field: &str, ledger: i64, bank: i64) -> FieldDifference {
    FieldDifference::of(field, ledger.to_string(), bank.to_string())
}

/// Money that came in without a payout is the balance's affair; what takes an entry back is not.
fn is_unexpected(row: &BankEntryRow) -> bool {
    row.direction == EntryDirection::Debit || row.is_reversal
}

fn shown(row: &BankEntryRow) -> Shown {
    Shown {
        name: row.name(),
        file: row.file.clone(),
        entry: row.entry,
        paid_fen: -row.direction.signed(row.amount_fen),
        booked_on: row.booked_on,
        end_to_end_id: row.end_to_end_id.clone(),
        institution: row.counterparty.clone(),
        last4: row.counterparty_last4.clone(),
    }
}
