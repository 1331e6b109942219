//! Statements of a cycle, from what the journal booked to payees since the last one.

use std::collections::{BTreeMap, BTreeSet};

use super::{CycleRow, FunderShare, PositionRow, StatementRow, StatementState, end_to_end_id, is_settled_with};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::institution::{InstitutionRow, account_in_force};
use crate::key;
use crate::ledger::{Account, AccountKind, AccountRow, EntryKind};
use crate::names::Participant;
use crate::participant::ParticipantRow;
use crate::policy::{self, CalendarPolicy, ChannelPolicy, WorkingDays};
use crate::recon::breaks::Terms;
use crate::recon::run::Gather;
use crate::recon::stake::StakeKind;
use crate::recon::{BreakClass, BreakRow, BreakState, RunRow, RunState, breaks};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// What one entry booked to a payee's account on a clearing date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    pub account: Account,
    pub entry: EntryKind,
    pub clearing_date: Option<Date>,
    /// On the account's normal side, credit.
    pub credit_fen: i64,
}

impl Activity {
    /// What a posted entry, or a sum of alike ones, means to payees of a channel: for either side that is one.
    pub fn of(
        entry: EntryKind,
        debit: &Account,
        credit: &Account,
        clearing_date: Option<Date>,
        amount_fen: i64,
        channel: &Participant,
    ) -> Vec<Self> {
        let sides = [(debit, -amount_fen), (credit, amount_fen)];
        let payees = sides.into_iter().filter(|(account, _)| is_settled_with(account, channel));
        payees
            .map(|(account, credit_fen)| Self { account: account.clone(), entry, clearing_date, credit_fen })
            .collect()
    }
}

/// Makes the statements of a cycle. The caller is an administrator.
///
/// The journal was read before this transaction, up to `cut`; what it says must be what the balances say
/// now, else `BOOKS_MOVED`.
#[derive(Clone, Debug)]
pub struct PrepareSettlement {
    pub channel: Participant,
    /// Ends the cycle; the newest date that was run.
    pub clearing_date: Date,
    /// The cut of the cycle before, at which the reading of the journal began; 0 before the first.
    pub since: i64,
    pub cut: i64,
    /// Everything posted to payees of the channel between the two.
    pub activity: Vec<Activity>,
    /// Payees' accounts that have a balance.
    pub balances: BTreeSet<Account>,
    /// Who funded what was matched in the cycle.
    pub funders: BTreeMap<Account, Vec<FunderShare>>,
}

/// A cycle goes back no further, days.
pub const MOST_DAYS: i64 = 62;

impl Command for PrepareSettlement {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let (channel, date) = (&self.channel, self.clearing_date);
        let terms = policy::in_force::<ChannelPolicy>(snapshot, channel.code(), date)?;
        let calendar = policy::in_force::<CalendarPolicy>(snapshot, "CN", call.now.date())?;
        if !terms.settlement_cycle.ends_on(date) {
            let refused = Reason::SettlementNotDue.field("clearing_date").var("channel", channel);
            return Err(refused.var("cycle", terms.settlement_cycle).var("date", date).into());
        }
        let last = snapshot.get::<CycleRow>(key![channel.clone()])?;
        if last.as_ref().map_or(0, |cycle| cycle.cut) != self.since {
            return Err(moved("clearing_date", channel).into());
        }
        if let Some(cycle) = last.as_ref().filter(|cycle| cycle.clearing_date >= date) {
            return Err(Reason::RecordExists
                .field("clearing_date")
                .var("name", format!("{channel} {}", cycle.clearing_date))
                .into());
        }
        let oldest = date.plus_days(-MOST_DAYS);
        let next = last.as_ref().map(|cycle| cycle.clearing_date.plus_days(1).max(oldest));
        self.check_runs(snapshot, call, next.unwrap_or(date))?;
        // The first cycle takes in what was run before it.
        let dates = self.activity.iter().filter_map(|activity| activity.clearing_date);
        let from = next.or_else(|| dates.filter(|d| (oldest..=date).contains(d)).min()).unwrap_or(date);
        let cycle = CycleRow {
            channel: channel.clone(),
            clearing_date: date,
            cut: self.cut,
            recorded_at_us: call.now,
            version: last.map_or(1, |cycle| cycle.version + 1),
        };
        let due_on = calendar.after_working_days(date, terms.payout_working_days);
        let stated = self.state(snapshot, call, from, due_on)?;
        let missing = missing(snapshot, call, channel)?;

        let mut decision = Decision::new(call);
        let leaf = decision.leaf("settlement.prepared", format!("settlements/{}", channel.code()), cycle.version);
        leaf.put(&cycle).tell(channel);
        // Cycles of a channel wait for each other, and for its runs.
        leaf.guard::<ParticipantRow>(key![channel.clone()]);
        for position in stated.iter().filter(|stated| stated.statement.is_none()).map(|stated| &stated.position) {
            leaf.put(position);
        }
        for stated in &stated {
            let Some(row) = &stated.statement else { continue };
            let leaf = decision.leaf("settlement.stated", &row.statement, row.version);
            leaf.put(row).put(&stated.position).tell(&row.region).tell(channel);
            if let Some(region) = &row.institution_region {
                leaf.tell(region);
            }
            if let Some(taken) = &stated.taken {
                let leaf = decision.leaf("settlement.carried", &taken.statement, taken.version);
                leaf.put(taken).tell(&taken.region).tell(channel);
            }
        }
        for row in missing {
            let leaf = decision.leaf("break.opened", &row.break_name, row.version);
            leaf.put(&row);
            row.tell(leaf);
        }
        Ok(decision)
    }
}

/// What becomes of one payee's account.
struct Stated {
    position: PositionRow,
    statement: Option<StatementRow>,
    /// A carried statement whose money the new one takes.
    taken: Option<StatementRow>,
}

/// The sums of a statement, from the journal.
#[derive(Default)]
struct Sums {
    all_fen: i64,
    subsidy_fen: i64,
    gross_fen: i64,
    refunds_fen: i64,
    fees_fen: i64,
    adjustments_fen: i64,
    is_moved: bool,
}

impl Sums {
    fn add(&mut self, activity: &Activity, cycle: &std::ops::RangeInclusive<Date>) {
        let fen = activity.credit_fen;
        self.all_fen += fen;
        match activity.entry {
            EntryKind::Settled | EntryKind::SettledFee => return,
            entry if entry.is_operating_subsidy() => {
                self.subsidy_fen += fen;
                return;
            }
            _ => self.is_moved = true,
        }
        if !activity.clearing_date.is_some_and(|date| cycle.contains(&date)) {
            self.adjustments_fen += fen;
            return;
        }
        match activity.entry {
            _ if activity.account.kind == AccountKind::FeePayable => self.gross_fen += fen,
            EntryKind::Matched | EntryKind::ChannelOnly | EntryKind::Duplicate | EntryKind::AmountFileMore => {
                self.gross_fen += fen;
            }
            EntryKind::RefundInFile | EntryKind::RefundOrphan => self.refunds_fen -= fen,
            EntryKind::FeeInstitution | EntryKind::FeeFileLess | EntryKind::FeeMoreAccepted => self.fees_fen -= fen,
            _ => self.adjustments_fen += fen,
        }
    }
}

impl PrepareSettlement {
    /// Every date of the cycle has a complete run, and no later one has any: its rows would be stated too.
    fn check_runs(&self, snapshot: &Snapshot, call: &Call, from: Date) -> Result<(), Stop> {
        let today = call.now.clearing_date();
        let days = self.clearing_date.days_since(from);
        if self.clearing_date >= today || today.days_since(self.clearing_date) > MOST_DAYS {
            let range = format!("{}..{}", today.plus_days(-MOST_DAYS), today.plus_days(-1));
            return Err(guard::out_of_range("clearing_date", range).into());
        }
        let mut gather = Gather::default();
        let mut lacking = None;
        let mut newest = self.clearing_date;
        for date in (0..=days + today.days_since(self.clearing_date)).map(|n| from.plus_days(n)) {
            let values = key![self.channel.clone(), date];
            let runs = gather.all(snapshot.list::<RunRow>(&["channel", "clearing_date"], values))?;
            let last = runs.iter().max_by_key(|run| run.number);
            let is_whole = last.is_some_and(|run| run.state != RunState::Incomplete);
            if date <= self.clearing_date && !is_whole {
                lacking.get_or_insert(date);
            }
            if last.is_some() {
                newest = newest.max(date);
            }
        }
        gather.end()?;
        if newest > self.clearing_date {
            return Err(guard::out_of_range("clearing_date", format!("{newest}..")).into());
        }
        match lacking {
            Some(date) => {
                let refused = Reason::RunMissing.field("clearing_date").var("channel", &self.channel);
                Err(refused.var("date", date).into())
            }
            None => Ok(()),
        }
    }

    fn state(&self, snapshot: &Snapshot, call: &Call, from: Date, due_on: Date) -> Result<Vec<Stated>, Stop> {
        let cycle = from..=self.clearing_date;
        let mut sums: BTreeMap<Account, Sums> = BTreeMap::new();
        for account in &self.balances {
            sums.entry(account.clone()).or_default();
        }
        for activity in self.activity.iter().filter(|activity| is_settled_with(&activity.account, &self.channel)) {
            sums.entry(activity.account.clone()).or_default().add(activity, &cycle);
        }
        let withheld = withheld(snapshot, &self.channel)?;
        let mut gather = Gather::default();
        let mut stated = Vec::new();
        for (account, sums) in &sums {
            let kept = withheld.get(account).copied().unwrap_or(0);
            let cycle = (from, due_on);
            stated.extend(gather.ask(self.state_account(snapshot, call, cycle, account, sums, kept))?);
        }
        gather.end()?;
        Ok(stated)
    }

    fn state_account(
        &self,
        snapshot: &Snapshot,
        call: &Call,
        (from_date, due_on): (Date, Date),
        account: &Account,
        sums: &Sums,
        withheld_fen: i64,
    ) -> Result<Stated, Stop> {
        let posted_fen = snapshot.get::<AccountRow>(key![account.clone()])?.map_or(0, |row| row.posted_fen);
        let known = snapshot.get::<PositionRow>(key![account.clone()])?;
        let position = known.map_or_else(|| first_position(account, &self.channel), |row| (*row).clone());
        if position.balance_fen + sums.all_fen != posted_fen {
            return Err(moved("clearing_date", account).into());
        }
        let subsidy_fen = position.subsidy_fen + sums.subsidy_fen;
        let due_fen = posted_fen - position.open_fen - subsidy_fen;
        let moved_fen = sums.gross_fen - sums.refunds_fen - sums.fees_fen + sums.adjustments_fen;
        let net_fen = due_fen - withheld_fen;
        let mut stated = Stated {
            position: PositionRow {
                balance_fen: posted_fen,
                subsidy_fen,
                version: position.version + 1,
                ..position.clone()
            },
            statement: None,
            taken: None,
        };
        // Nothing new and nothing to pay: what is carried goes on waiting.
        if !sums.is_moved && net_fen <= 0 {
            return Ok(stated);
        }
        let institution = (account.kind == AccountKind::Payable).then(|| format!("institutions/{}", account.a));
        let (region, paid_to) = match &institution {
            Some(name) => (
                snapshot.get::<InstitutionRow>(key![name.clone()])?.map(|row| row.region.clone()),
                account_in_force(snapshot, name, &self.channel, call.now)?,
            ),
            None => (None, None),
        };
        let before = match position.statement.as_str() {
            "" => None,
            name => snapshot.get::<StatementRow>(key![name.to_owned()])?,
        };
        let statement = self.name_of(account);
        let row = StatementRow {
            channel: self.channel.clone(),
            region: account.book.region().clone(),
            programme: account.book.programme().to_owned(),
            account: account.clone(),
            institution,
            institution_region: region,
            from_date,
            clearing_date: self.clearing_date,
            gross_fen: sums.gross_fen,
            refunds_fen: sums.refunds_fen,
            fees_fen: sums.fees_fen,
            adjustments_fen: sums.adjustments_fen,
            brought_forward_fen: due_fen - moved_fen,
            withheld_fen,
            net_fen,
            funders: Json(self.funders.get(account).cloned().unwrap_or_default()),
            settlement_account: paid_to.as_ref().map(|row| row.account.clone()),
            account_last4: paid_to.map(|row| row.account_last4.clone()).unwrap_or_default(),
            end_to_end_id: end_to_end_id(&statement),
            due_on,
            state: match net_fen {
                1.. => StatementState::Open,
                0 => StatementState::Settled,
                _ => StatementState::Carried,
            },
            paid_fen: 0,
            payout: None,
            recorded_at_us: call.now,
            version: 1,
            statement,
        };
        stated.position.statement = row.statement.clone();
        stated.position.open_fen += net_fen.max(0);
        stated.taken = before.filter(|row| row.state == StatementState::Carried).map(|row| StatementRow {
            state: StatementState::Taken,
            recorded_at_us: call.now,
            version: row.version + 1,
            ..(*row).clone()
        });
        stated.statement = Some(row);
        Ok(stated)
    }

    fn name_of(&self, account: &Account) -> String {
        let payee = if account.kind == AccountKind::Payable { &account.a } else { "fee" };
        let (region, programme) = (account.book.region().code(), account.book.programme());
        let date = self.clearing_date.to_string().replace('-', "");
        format!("settlementStatements/{}-{date}-{region}-{programme}-{payee}", self.channel.code())
    }
}

fn first_position(account: &Account, channel: &Participant) -> PositionRow {
    PositionRow {
        account: account.clone(),
        channel: channel.clone(),
        region: account.book.region().clone(),
        statement: String::new(),
        balance_fen: 0,
        open_fen: 0,
        subsidy_fen: 0,
        version: 0,
    }
}

fn moved(field: &str, name: impl std::fmt::Display) -> Rejection {
    Reason::BooksMoved.field(field).var("name", name)
}

/// What open breaks say of fees, by payee: the channel keeps a fee above the agreed one until its break is
/// resolved, and pays one below it out. The institution's account does not know of either yet.
fn withheld(snapshot: &Snapshot, channel: &Participant) -> Result<BTreeMap<Account, i64>, Stop> {
    let mut gather = Gather::default();
    let mut withheld: BTreeMap<Account, i64> = BTreeMap::new();
    for state in BreakState::OPEN {
        let open = gather.all(snapshot.list::<BreakRow>(&["state", "channel"], key![state, channel.clone()]))?;
        for stake in open.iter().flat_map(|row| &row.stakes.0) {
            let payable = Account::payable(&stake.book, &stake.institution, channel);
            match stake.kind {
                StakeKind::FeeInSuspense => *withheld.entry(payable).or_default() += stake.amount_fen,
                StakeKind::FeeBookedMore => {
                    *withheld.entry(payable).or_default() -= stake.amount_fen;
                    *withheld.entry(Account::fee_payable(&stake.book, channel)).or_default() += stake.amount_fen;
                }
                _ => {}
            }
        }
    }
    gather.end()?;
    Ok(withheld)
}

/// Open statements past their due day, that no break tells of yet.
fn missing(snapshot: &Snapshot, call: &Call, channel: &Participant) -> Result<Vec<BreakRow>, Stop> {
    let today = call.now.date();
    let open = snapshot.list::<StatementRow>(&["channel", "state"], key![channel.clone(), StatementState::Open])?;
    let terms = Terms::load(snapshot, channel, today)?;
    let mut gather = Gather::default();
    let mut missing = Vec::new();
    for row in open.iter().filter(|row| row.due_on < today) {
        let name = breaks::finding_name(BreakClass::PayoutMissing, None, &row.statement);
        if let Some(None) = gather.ask(snapshot.get::<BreakRow>(key![name.clone()]))? {
            missing.push(about(&terms, row, name, BreakClass::PayoutMissing, row.net_fen, call));
        }
    }
    gather.end()?;
    Ok(missing)
}

/// A new break about a statement.
pub(super) fn about(
    terms: &Terms,
    row: &StatementRow,
    name: String,
    class: BreakClass,
    amount_fen: i64,
    call: &Call,
) -> BreakRow {
    let new = BreakRow {
        channel: Some(row.channel.clone()),
        region: Some(row.region.clone()),
        programme: Some(row.programme.clone()),
        institution_region: row.institution_region.clone(),
        amount_fen,
        rule: class.to_string(),
        ..breaks::open(name, class, &row.statement, row.clearing_date, call.now)
    };
    BreakRow { due_on: row.due_on, ..terms.judged(new) }
}
