//! The ledger: account balances recomputed from the transfers that leaves book, and the identities
//! of LEDGER.md through [`jjj_domain::recon::identities`].
//!
//! | Identity | Here |
//! |---|---|
//! | 1, 4, 9 | from the transfers of the leaves |
//! | 2 | every column of `accounts`, recomputed |
//! | 3, 5, 6, 7 | with the open breaks, payments and bill lines, as stored: the fold proves these |
//! | 8 | a posted transfer's leaf, or the leaf that caused it, has evidence: a signature, or for what the
//! | | gateway did by itself the files it ran, or the policy's rule |
//!
//! Whether a balance or a bill line was enough at the moment of an authorisation (the first halves
//! of 3 and 7) is the decision's own rule and not checked again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jjj_domain::care::bill::BillLineRow;
use jjj_domain::close::CloseRow;
use jjj_domain::ledger::{Account, AccountRow, Layer, TransferRow};
use jjj_domain::payment::{PaymentRow, PaymentState};
use jjj_domain::policy::{CalendarPolicy, ChannelPolicy, PolicyBody, PolicyRow};
use jjj_domain::recon::breaks::due_on;
use jjj_domain::recon::identities::{Journal, Violation, check_bill_lines, check_reservations};
use jjj_domain::recon::{BreakClass, BreakRow, RunRow};
use jjj_domain::row::Row;
use jjj_domain::time::{Date, Timestamp};
use jjj_domain::value::Value;
use jjj_store::{Session, StoreError};

use super::digest::Id;
use super::ground::{self, Ground};
use super::report::{Check, Findings, quote};
use super::scan::{Scan, row_key_text};

/// Costs some 500 bytes for each account.
#[derive(Default)]
pub struct Ledger {
    journal: Journal,
    balances: BTreeMap<Account, (i64, i64)>,
    /// First leaves of requests that were signed.
    signed: HashSet<Id>,
    /// Leaves that post and have no evidence of their own, with the first leaf of their request.
    unsigned: Vec<(Id, TransferRow)>,
    /// On what the gateway's own requests acted, by their first leaves.
    grounds: HashMap<Id, Ground>,
    transfers: u64,
}

impl Ledger {
    pub fn add(&mut self, transfers: Vec<TransferRow>, first: Id, is_signed: bool, ground: Option<Ground>) {
        if let Some(ground) = ground {
            self.grounds.insert(first, ground);
        }
        if is_signed {
            self.signed.insert(first);
        } else if let Some(posted) = transfers.iter().find(|t| t.layer == Layer::Posted) {
            self.unsigned.push((first, posted.clone()));
        }
        self.transfers += transfers.len() as u64;
        for transfer in transfers {
            for (account, delta) in transfer.deltas() {
                let (posted, held) = self.balances.entry(account.clone()).or_default();
                match transfer.layer {
                    Layer::Posted => *posted += delta,
                    Layer::Held => *held += delta,
                }
            }
            self.journal.add(&transfer);
        }
    }

    /// Checks accounts and identities as of a moment. The number of transfers.
    pub async fn check(
        mut self,
        session: &mut Session,
        at: Timestamp,
        findings: &mut Findings,
    ) -> Result<u64, StoreError> {
        self.compare_accounts(session, findings).await?;
        compare_sums(self.journal.general_ledger(), session, findings).await?;
        compare_sums(self.journal.cash_days(), session, findings).await?;
        let mut violations = std::mem::take(&mut self.journal.violations);
        let books = Books::load(session, at).await?;
        violations.extend(self.journal.check_prefund(|channel| books.is_prefunded(channel)));
        violations.extend(self.journal.check_trial(&books.closes));
        violations.extend(self.journal.check_entitlements(&books.open));
        violations.extend(self.journal.check_breaks(&books.open, &books.payments, |c, date| books.is_judged(c, date)));
        violations.extend(self.journal.check_holds(&books.payments));
        violations.extend(check_reservations(&books.payments, |c, date| books.is_complete(c.code(), date)));
        violations.extend(check_lines(session, &books.findings).await?);
        for violation in violations {
            report(&violation, findings);
        }
        let holding = ground::holding(session, &self.grounds).await?;
        for (first, transfer) in &self.unsigned {
            if !self.signed.contains(first) && !holding.contains(first) {
                let key = format!("{}, {}", transfer.leaf_id, transfer.line);
                findings.row(Check::Ledger, "transfers", key, "identity 8: posted, and no evidence moved it");
            }
        }
        Ok(self.transfers)
    }

    /// Identity 2, and the other columns.
    async fn compare_accounts(&mut self, session: &mut Session, findings: &mut Findings) -> Result<(), StoreError> {
        let spec = AccountRow::spec();
        let mut unseen = std::mem::take(&mut self.balances);
        let mut scan = Scan::of(spec);
        while let Some(page) = scan.page(session).await? {
            for values in page {
                let key = row_key_text(spec, &values);
                let balance = key.parse::<Account>().ok().and_then(|a| unseen.remove(&a).map(|balance| (a, balance)));
                let Some((account, (posted_fen, held_fen))) = balance else {
                    findings.row(Check::Fold, spec.name, key, "no transfer books to it");
                    continue;
                };
                let wanted = AccountRow { posted_fen, held_fen, ..AccountRow::empty(account) }.to_values();
                for (column, (stored, sum)) in spec.columns.iter().zip(values.iter().zip(&wanted)) {
                    if stored != sum {
                        let problem = format!("is {}, the transfers say {}", quote(stored), quote(sum));
                        findings.column(Check::Fold, spec.name, &key, column.name, problem);
                    }
                }
            }
        }
        for account in unseen.keys() {
            findings.row(Check::Fold, spec.name, account, "is missing");
        }
        Ok(())
    }
}

/// Every column of a table of running sums, recomputed.
async fn compare_sums<'a, T: Row>(
    rows: impl Iterator<Item = &'a T>,
    session: &mut Session,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let spec = T::spec();
    let rows = rows.map(Row::to_values);
    let mut unseen: BTreeMap<String, Vec<Value>> = rows.map(|values| (row_key_text(spec, &values), values)).collect();
    let mut scan = Scan::of(spec);
    while let Some(page) = scan.page(session).await? {
        for values in page {
            let key = row_key_text(spec, &values);
            let Some(wanted) = unseen.remove(&key) else {
                findings.row(Check::Fold, spec.name, key, "no transfer books to it");
                continue;
            };
            for (column, (stored, sum)) in spec.columns.iter().zip(values.iter().zip(&wanted)) {
                if stored != sum {
                    let problem = format!("is {}, the transfers say {}", quote(stored), quote(sum));
                    findings.column(Check::Fold, spec.name, &key, column.name, problem);
                }
            }
        }
    }
    for key in unseen.keys() {
        findings.row(Check::Fold, spec.name, key, "is missing");
    }
    Ok(())
}

/// What the identities are judged with, as stored.
struct Books {
    open: Vec<BreakRow>,
    /// `BILL_EXCEEDED`, open or not.
    findings: Vec<BreakRow>,
    /// Reserved and late ones.
    payments: Vec<PaymentRow>,
    /// By channel code.
    channels: HashMap<String, ChannelPolicy>,
    calendar: Option<CalendarPolicy>,
    /// The last run of a channel's date.
    runs: HashMap<(String, Date), RunRow>,
    closes: Vec<CloseRow>,
    /// When a payment of a channel's date was last recorded.
    moved: HashMap<(String, Date), Timestamp>,
    today: Date,
}

impl Books {
    async fn load(session: &mut Session, at: Timestamp) -> Result<Self, StoreError> {
        let today = at.date();
        let mut books = Self {
            open: Vec::new(),
            findings: Vec::new(),
            payments: Vec::new(),
            channels: HashMap::new(),
            calendar: None,
            runs: HashMap::new(),
            closes: Vec::new(),
            moved: HashMap::new(),
            today,
        };
        each::<BreakRow>(session, |row| {
            if row.class == BreakClass::BillExceeded {
                books.findings.push(row.clone());
            }
            if row.is_open() {
                books.open.push(row);
            }
        })
        .await?;
        each::<PaymentRow>(session, |row| {
            let moved =
                books.moved.entry((row.channel.code().to_owned(), row.clearing_date)).or_insert(row.recorded_at_us);
            *moved = row.recorded_at_us.max(*moved);
            if matches!(row.state, PaymentState::Reserved | PaymentState::Late) {
                books.payments.push(row);
            }
        })
        .await?;
        each::<RunRow>(session, |row| {
            let last = (row.channel.code().to_owned(), row.clearing_date);
            if books.runs.get(&last).is_none_or(|known| known.number < row.number) {
                books.runs.insert(last, row);
            }
        })
        .await?;
        each::<CloseRow>(session, |row| books.closes.push(row)).await?;
        let mut newest: BTreeMap<(Value, String), PolicyRow> = BTreeMap::new();
        each::<PolicyRow>(session, |row| {
            let scope = (Value::Text(row.kind.to_string()), row.scope.clone());
            let is_newer =
                |known: &PolicyRow| (known.effective_from, known.version) < (row.effective_from, row.version);
            if row.effective_from <= today && newest.get(&scope).is_none_or(is_newer) {
                newest.insert(scope, row);
            }
        })
        .await?;
        for row in newest.into_values() {
            if row.kind == ChannelPolicy::KIND
                && let Ok(policy) = serde_json::from_str(&row.body)
            {
                books.channels.insert(row.scope, policy);
            } else if row.kind == CalendarPolicy::KIND {
                books.calendar = serde_json::from_str(&row.body).ok();
            }
        }
        Ok(books)
    }

    fn is_prefunded(&self, channel: &str) -> bool {
        self.channels.get(channel).is_some_and(|policy| policy.prefunded)
    }

    /// The date's last run had all its files, whole.
    fn is_complete(&self, channel: &str, date: Date) -> bool {
        self.runs.get(&(channel.to_owned(), date)).is_some_and(|run| run.files_complete)
    }

    /// Past its grace, run completely after that, and nothing came since: then what is left in
    /// clearing is what open breaks say. What comes later waits for the next run.
    fn is_judged(&self, channel: &str, date: Date) -> bool {
        let key = (channel.to_owned(), date);
        let (Some(run), Some(policy)) = (self.runs.get(&key), self.channels.get(channel)) else { return false };
        let Some(calendar) = &self.calendar else { return false };
        let due = due_on(calendar, date, policy.grace_working_days);
        let moved = self.moved.get(&key).is_some_and(|moved| *moved > run.recorded_at_us);
        run.files_complete && run.recorded_at_us.date() >= due && self.today >= due && !moved
    }
}

/// Every row of a table that parses; what does not differs from its leaf, which the fold says.
pub(super) async fn each<T: Row>(session: &mut Session, mut take: impl FnMut(T)) -> Result<(), StoreError> {
    let mut scan = Scan::of(T::spec());
    while let Some(page) = scan.page(session).await? {
        page.into_iter().filter_map(|values| T::from_values(values).ok()).for_each(&mut take);
    }
    Ok(())
}

/// Identity 7.
async fn check_lines(session: &mut Session, findings: &[BreakRow]) -> Result<Vec<Violation>, StoreError> {
    let mut violations = Vec::new();
    let mut scan = Scan::of(BillLineRow::spec());
    while let Some(page) = scan.page(session).await? {
        let lines: Vec<BillLineRow> = page.into_iter().filter_map(|v| BillLineRow::from_values(v).ok()).collect();
        violations.extend(check_bill_lines(&lines, findings));
    }
    Ok(violations)
}

fn report(violation: &Violation, findings: &mut Findings) {
    let table = match violation.identity {
        1 | 9 => "transfers",
        7 => "bill_lines",
        _ if violation.rows.iter().all(|row| row.starts_with("payments/")) => "payments",
        _ => "accounts",
    };
    let rows: BTreeSet<&str> = violation.rows.iter().map(String::as_str).collect();
    let key = rows.into_iter().collect::<Vec<_>>().join("; ");
    let problem = format!(
        "identity {} does not hold by {} fen: {}",
        violation.identity, violation.difference_fen, violation.detail
    );
    findings.row(Check::Ledger, table, key, problem);
}
