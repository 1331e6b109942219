//! Budget, funding, and money that leaves restricted accounts outside the gateway.

use super::{MoneyEventKind, MoneyEventRow, book, elder_id};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::id::DivisionCode;
use crate::key;
use crate::ledger::{Account, EntryKind, Transfer};
use crate::names::{Collection, Name, Participant};
use crate::participant::active_participant;
use crate::person::{PersonState, resolve_person};
use crate::policy::{self, ChannelPolicy, ProgrammePolicy};
use crate::recon::overspent::Debit;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// A funder's budget for a year arrives at the programme's bank. The caller is the paying region.
#[derive(Clone, Debug)]
pub struct AllotBudget {
    pub programme: String,
    pub funder_division: DivisionCode,
    /// 2000 to 2999.
    pub year: i64,
    pub amount_fen: i64,
    /// The budget document's number, once per funder.
    pub reference: String,
}

impl Command for AllotBudget {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::range("budget_year", self.year, 2000, 2999)?;
        let book = book(call.participant(), &self.programme)?;
        let funder = self.funder_division.to_string();
        let event = Event {
            kind: MoneyEventKind::BudgetAllotted,
            programme: &self.programme,
            amount_fen: self.amount_fen,
            reference: &self.reference,
        };
        let event = event.row(snapshot, call, &funder)?;
        let (bank, appropriation) = (Account::bank(&book), Account::appropriation(&book, &funder, self.year));
        let entry = EntryKind::BudgetAllotted;
        let transfer =
            Transfer::posted(entry, bank, appropriation, self.amount_fen, call.now.month()).on(event.occurred_on);
        let mut decision = Decision::new(call);
        decision.leaf("budget.allotted", &event.event, 1).put(&event).tell(call.participant()).book(transfer);
        Ok(decision)
    }
}

/// Money placed with a prefunded channel. The caller is the paying region.
#[derive(Clone, Debug)]
pub struct FundChannel {
    pub programme: String,
    pub channel: Participant,
    pub amount_fen: i64,
    /// The bank's reference, once per programme.
    pub reference: String,
}

impl Command for FundChannel {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let book = book(call.participant(), &self.programme)?;
        let terms = policy::in_force::<ChannelPolicy>(snapshot, self.channel.code(), call.now.date());
        let channel = active_participant(snapshot, "channel", &self.channel);
        let event = Event {
            kind: MoneyEventKind::ChannelFunded,
            programme: &self.programme,
            amount_fen: self.amount_fen,
            reference: &self.reference,
        };
        let mut event = event.row(snapshot, call, "")?;
        channel?;
        if !terms?.prefunded {
            return Err(guard::out_of_range("channel", "prefunded channels").into());
        }
        event.channel = Some(self.channel.clone());
        let (prefund, bank) = (Account::prefund(&book, &self.channel), Account::bank(&book));
        let transfer = Transfer::posted(EntryKind::ChannelFunded, prefund, bank, self.amount_fen, call.now.month())
            .on(event.occurred_on);
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("channel.funded", &event.event, 1);
        leaf.put(&event).tell(call.participant()).tell(&self.channel).book(transfer);
        Ok(decision)
    }
}

/// The channel reports what an elder spent elsewhere. A fact is always booked, even
/// when it overdraws; then it is an `OVERSPENT` finding.
#[derive(Clone, Debug)]
pub struct ReportOutsideSpending(pub Spending);

/// The channel reports what it paid to an elder's estate. The elder's death must be recorded.
#[derive(Clone, Debug)]
pub struct ReportEstatePayout(pub Spending);

/// Money that left an elder's restricted account without a payment of ours. The caller is the channel.
#[derive(Clone, Debug)]
pub struct Spending {
    pub person: Name,
    /// The paying region; absent: the elder's household region.
    pub region: Option<Participant>,
    pub programme: String,
    pub amount_fen: i64,
    /// The channel's clearing date; by tomorrow.
    pub occurred_on: Date,
    /// The channel's reference, once per programme and kind.
    pub reference: String,
}

impl Command for ReportOutsideSpending {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        self.0.decide(snapshot, call, MoneyEventKind::SpentElsewhere)
    }
}

impl Command for ReportEstatePayout {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let person = resolve_person(snapshot, &self.0.person)?;
        guard::state(person.state, &[PersonState::Deceased], "elder", &self.0.person)?;
        self.0.decide(snapshot, call, MoneyEventKind::PaidToEstate)
    }
}

impl Spending {
    fn decide(&self, snapshot: &Snapshot, call: &Call, kind: MoneyEventKind) -> Result<Decision, Stop> {
        let channel = call.participant();
        let latest = call.now.clearing_date().plus_days(1);
        if self.occurred_on > latest {
            return Err(guard::out_of_range("occurred_on", format!("..{latest}")).into());
        }
        let person = resolve_person(snapshot, &self.person)?;
        let region = self.region.as_ref().unwrap_or(&person.household_region);
        let book = book(region, &self.programme)?;
        let event = Event { kind, programme: &self.programme, amount_fen: self.amount_fen, reference: &self.reference };
        let event = MoneyEventRow {
            channel: Some(channel.clone()),
            person: Some(self.person.to_string()),
            occurred_on: self.occurred_on,
            ..event.row_of(snapshot, call, region, "")?
        };
        let (entry, leaf_kind) = match kind {
            MoneyEventKind::PaidToEstate => (EntryKind::PaidToEstate, "estate.paid"),
            _ => (EntryKind::SpentElsewhere, "spending.reported"),
        };
        // The account is the one the channel knows, also after a merger: its name is not resolved.
        let entitlement = Account::entitlement(&book, elder_id(self.person.as_str()), channel);
        let prefund = Account::prefund(&book, channel);
        let debit = Debit {
            account: entitlement.clone(),
            amount_fen: self.amount_fen,
            region,
            programme: &self.programme,
            channel,
            person: self.person.as_str(),
            clearing_date: self.occurred_on,
        };
        let transfer = Transfer::posted(entry, entitlement, prefund, self.amount_fen, call.now.month());
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(leaf_kind, &event.event, 1);
        leaf.put(&event).tell(region).tell(channel).book(transfer.on(self.occurred_on));
        debit.open_finding(snapshot, call, &mut decision)?;
        Ok(decision)
    }
}

/// What all money events have in common.
pub(super) struct Event<'a> {
    pub kind: MoneyEventKind,
    pub programme: &'a str,
    pub amount_fen: i64,
    pub reference: &'a str,
}

impl Event<'_> {
    /// The row of an event that the paying region itself reports.
    pub fn row(&self, snapshot: &Snapshot, call: &Call, funder: &str) -> Result<MoneyEventRow, Stop> {
        self.row_of(snapshot, call, call.participant(), funder)
    }

    /// Checks amount, programme and reference: `RECORD_EXISTS` when the reporter has used it before.
    fn row_of(
        &self,
        snapshot: &Snapshot,
        call: &Call,
        region: &Participant,
        funder: &str,
    ) -> Result<MoneyEventRow, Stop> {
        let limit = match self.kind {
            MoneyEventKind::BudgetAllotted | MoneyEventKind::ChannelFunded => guard::MAX_PROGRAMME_FEN,
            MoneyEventKind::SpentElsewhere | MoneyEventKind::PaidToEstate | MoneyEventKind::Recovered => guard::MAX_FEN,
        };
        guard::range("amount_fen", self.amount_fen, 1, limit)?;
        guard::text("reference", self.reference, 64)?;
        let scope = book(region, self.programme)?.to_string();
        let programme = policy::in_force::<ProgrammePolicy>(snapshot, &scope, call.now.date());
        let reporter = call.participant().clone();
        let (name, reference) = (self.programme.to_owned(), self.reference.to_owned());
        let by = &["reporter", "programme", "kind", "reference", "funder_division"];
        let values = key![reporter.clone(), name.clone(), self.kind, reference.clone(), funder.to_owned()];
        let known = snapshot.list::<MoneyEventRow>(by, values)?;
        programme?;
        if let Some(known) = known.first() {
            return Err(Reason::RecordExists.field("reference").var("name", &known.event).into());
        }
        Ok(MoneyEventRow {
            event: Name::created(Collection::MoneyEvent, call.request_id).to_string(),
            kind: self.kind,
            region: region.clone(),
            programme: name,
            reporter,
            channel: None,
            person: None,
            funder_division: funder.to_owned(),
            amount_fen: self.amount_fen,
            occurred_on: call.now.date(),
            reference,
            recorded_at_us: call.now,
            version: 1,
        })
    }
}
