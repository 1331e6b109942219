//! Taking back wrongly granted months, and recovering what was spent.

use super::{GrantRow, GrantState, MoneyEventKind, book, find_grant, money};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::ledger::{Account, AccountRow, EntryKind, Transfer};
use crate::names::Name;
use crate::person::resolve_person;
use crate::recon::overspent::Debit;
use crate::snapshot::{Snapshot, Stop};

/// Claws back a wrongly granted month. The caller is the paying region.
///
/// An uncredited month ends at once. A credited one is at the channel: the region
/// asks, the channel says what it returned ([`ReportClawbackReturn`]), and only
/// then is anything booked.
#[derive(Clone, Debug)]
pub struct ClawBackGrant {
    pub grant: Name,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for ClawBackGrant {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let grant = find_grant(snapshot, &self.grant)?;
        guard::own(call, &grant.region, "grant", &self.grant)?;
        let needed = [GrantState::Granted, GrantState::CreditFailed, GrantState::Credited];
        guard::state(grant.state, &needed, "grant", &self.grant)?;
        let next = GrantRow { reason: self.reason.clone(), ..grant.next(call) };
        let mut decision = Decision::new(call);
        if grant.state == GrantState::Credited {
            let row = GrantRow { state: GrantState::ClawbackRequested, ..next };
            let leaf = decision.leaf("grant.clawback_requested", &self.grant, row.version);
            leaf.put(&row).tell(&row.region).tell(&row.channel).instruct(&row.channel);
            return Ok(decision);
        }
        let row = GrantRow { state: GrantState::ClawedBack, clawed_back_fen: grant.amount_fen, ..next };
        let book = book(&row.region, &row.programme)?;
        let (granted, cost) = (Account::granted(&book, row.elder_id()), row.cost_account(snapshot, &book, call)?);
        let entry = EntryKind::ClawbackUncredited;
        let leaf = decision.leaf("grant.clawed_back", &self.grant, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.channel);
        leaf.book(Transfer::posted(entry, granted, cost, row.amount_fen, call.now.month()));
        Ok(decision)
    }
}

/// The channel reports what it returned of a credited month. The caller is the grant's channel.
///
/// One report ends the clawback: what was not returned was spent, and the elder owes it.
/// A fact is booked even if it overdraws.
#[derive(Clone, Debug)]
pub struct ReportClawbackReturn {
    pub grant: Name,
    /// From 0 to what was credited.
    pub returned_fen: i64,
}

impl Command for ReportClawbackReturn {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let grant = find_grant(snapshot, &self.grant)?;
        guard::own(call, &grant.channel, "grant", &self.grant)?;
        guard::state(grant.state, &[GrantState::ClawbackRequested], "grant", &self.grant)?;
        guard::range("returned_fen", self.returned_fen, 0, grant.credited_fen)?;
        let row = GrantRow {
            state: GrantState::ClawedBack,
            clawed_back_fen: grant.credited_fen,
            returned_fen: self.returned_fen,
            ..grant.next(call)
        };
        let (book, month) = (book(&row.region, &row.programme)?, call.now.month());
        let (elder, cost) = (row.elder_id(), row.cost_account(snapshot, &book, call)?);
        let entitlement = Account::entitlement(&book, elder, &row.channel);
        let (bank, prefund) = (Account::bank(&book), Account::prefund(&book, &row.channel));
        let (returned, spent) = (EntryKind::ClawbackReturned, EntryKind::ClawbackSpent);
        let owed = row.credited_fen - self.returned_fen;
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("grant.clawed_back", &self.grant, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.channel);
        leaf.book(Transfer::posted(returned, entitlement, cost.clone(), self.returned_fen, month));
        leaf.book(Transfer::posted(returned, bank, prefund, self.returned_fen, month).on(call.now.date()));
        leaf.book(Transfer::posted(spent, Account::receivable(&book, elder), cost, owed, month));
        let debit = Debit {
            account: Account::entitlement(&book, elder, &row.channel),
            amount_fen: self.returned_fen,
            region: &row.region,
            programme: &row.programme,
            channel: &row.channel,
            person: &row.person,
            clearing_date: call.now.clearing_date(),
        };
        debit.open_finding(snapshot, call, &mut decision)?;
        Ok(decision)
    }
}

/// A receivable paid back to the programme's bank. The caller is the paying region.
#[derive(Clone, Debug)]
pub struct RecordRecovery {
    pub programme: String,
    /// Who owed it.
    pub elder: Name,
    /// From 1 to what is owed.
    pub amount_fen: i64,
    /// The bank's reference, once per programme.
    pub reference: String,
}

impl Command for RecordRecovery {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::fen("amount_fen", self.amount_fen, 1)?;
        let book = book(call.participant(), &self.programme)?;
        let receivable = Account::receivable(&book, self.elder.id());
        let owed = snapshot.get::<AccountRow>(key![receivable.clone()]);
        let event = money::Event {
            kind: MoneyEventKind::Recovered,
            programme: &self.programme,
            amount_fen: self.amount_fen,
            reference: &self.reference,
        };
        let mut event = event.row(snapshot, call, "")?;
        resolve_person(snapshot, &self.elder)?;
        event.person = Some(self.elder.to_string());
        guard::range("amount_fen", self.amount_fen, 1, owed?.map_or(0, |row| row.posted_fen))?;
        let bank = Account::bank(&book);
        let transfer =
            Transfer::posted(EntryKind::Recovered, bank, receivable.clone(), self.amount_fen, call.now.month())
                .on(event.occurred_on);
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("receivable.recovered", &event.event, 1);
        leaf.put(&event).tell(call.participant()).book(transfer);
        // What is owed is read, so whoever repays takes the account first.
        leaf.guard::<AccountRow>(key![receivable]);
        Ok(decision)
    }
}
