//! Resolutions: what may be done about a break of a class, and what it books. "A resolution
//! books the rest" (LEDGER.md): at approval, by new entries only, by two people.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::booking::id_of;
use super::breaks::Terms;
use super::rows::{BreakClass, BreakRow, BreakState, BreakStep, Resolution};
use super::stake::{Stake, StakeKind};
use crate::care::bill::{BillLineRow, FeeType};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::ledger::{Account, AccountRow, EntryKind, Transfer};
use crate::names::{Actor, Collection, Name, Participant, ParticipantKind};
use crate::participant::ParticipantRow;
use crate::payment::{PaymentRow, PaymentState, RefundRow, RefundState};
use crate::person::PersonRow;
use crate::policy::{self, ChannelPolicy};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::subsidy::{ClaimRow, ClaimState};
use crate::value::Json;

/// What may be done about a break of a class.
pub const fn allowed(class: BreakClass) -> &'static [Resolution] {
    use Resolution::*;
    match class {
        BreakClass::Duplicate => &[Accept, Repay, WriteOff],
        BreakClass::Ambiguous => &[Accept, Release],
        BreakClass::RefundOrphan => &[Accept, Repay],
        // In grace: the next run clears it or reclassifies it.
        BreakClass::Cutoff => &[],
        BreakClass::ChannelOnly => &[Accept, Repay, WriteOff],
        BreakClass::LedgerOnly => &[Release],
        BreakClass::PartyMismatch | BreakClass::StatusMismatch => {
            &[Accept, Repay, Release, WriteOff, CorrectRecord, Justified]
        }
        // About a region's book, which has no stakes, the last two alone.
        BreakClass::AmountMismatch => &[Accept, Repay, Release, WriteOff, CorrectRecord, Justified],
        BreakClass::FeeMismatch => &[Accept, Repay, InstitutionBears, WriteOff, CorrectRecord, Justified],
        BreakClass::LateConfirmation => &[Accept, Repay, WriteOff],
        BreakClass::RegionOnly
        | BreakClass::RegionMissing
        | BreakClass::PaidAfterRevocation
        | BreakClass::PaidWithoutContract
        | BreakClass::ConditionUnmet
        | BreakClass::Overspent
        | BreakClass::BillExceeded
        | BreakClass::GrantWithoutBasis
        | BreakClass::CreditFailed
        | BreakClass::Contradiction
        | BreakClass::FileMissing
        | BreakClass::ControlTotal
        | BreakClass::BalanceMismatch
        | BreakClass::MissingField
        | BreakClass::PayoutMismatch
        | BreakClass::PayoutMissing => &[CorrectRecord, Justified],
    }
}

/// Whether a resolution says what becomes of a stake.
const fn treats(kind: StakeKind, class: BreakClass, resolution: Resolution) -> bool {
    use Resolution::{Accept, InstitutionBears, Release, Repay, WriteOff};
    let ambiguous = matches!(class, BreakClass::Ambiguous);
    match kind {
        StakeKind::RowInSuspense => match resolution {
            Accept | Repay | WriteOff => true,
            Release => ambiguous,
            _ => false,
        },
        StakeKind::DuplicateInSuspense | StakeKind::AmountInSuspense | StakeKind::Late => {
            matches!(resolution, Accept | Repay | WriteOff)
        }
        StakeKind::RefundInSuspense => match resolution {
            Accept | Repay => true,
            Release => ambiguous,
            _ => false,
        },
        StakeKind::StatementInSuspense => matches!(resolution, Repay | WriteOff),
        StakeKind::InClearing | StakeKind::RefundInClearing => match resolution {
            Release => true,
            Accept => ambiguous,
            _ => false,
        },
        StakeKind::ClaimInClearing => matches!(resolution, Release),
        StakeKind::FeeInSuspense | StakeKind::FeeOfRow | StakeKind::FeeBookedMore => {
            matches!(resolution, Accept | Repay | Release | InstitutionBears | WriteOff)
        }
    }
}

/// Refuses a resolution that is not in the table, or that leaves a stake untreated.
pub(super) fn check_allowed(row: &BreakRow, resolution: Resolution) -> Result<(), Rejection> {
    let in_table = allowed(row.class).contains(&resolution);
    let stakes = &row.stakes.0;
    let fits = if resolution.moves_money() {
        !stakes.is_empty() && stakes.iter().all(|s| treats(s.kind, row.class, resolution))
    } else {
        stakes.is_empty()
    };
    let sums_agree =
        row.class != BreakClass::Ambiguous || resolution != Resolution::Accept || ambiguous_sums_agree(stakes);
    if in_table && fits && sums_agree {
        return Ok(());
    }
    Err(Reason::ResolutionNotAllowed.field("resolution").var("resolution", resolution).var("class", row.class))
}

/// An ambiguous unit is one and the same money only if both sides sum to the same in each book.
fn ambiguous_sums_agree(stakes: &[Stake]) -> bool {
    let mut sums: BTreeMap<&crate::ledger::Book, i64> = BTreeMap::new();
    for stake in stakes {
        *sums.entry(&stake.book).or_default() += stake.suspense_fen() - stake.clearing_fen();
    }
    sums.values().all(|sum| *sum == 0)
}

/// Administrators of the gateway, and of the regions concerned.
pub(super) fn check_actor(call: &Call, row: &BreakRow) -> Result<(), Rejection> {
    if !call.actor.is_admin() {
        Err(Reason::RoleNotAllowed.into())
    } else if concerned(call.participant(), row) {
        Ok(())
    } else {
        Err(Reason::NotYourRecord.field("reconciliation_break").var("name", &row.break_name))
    }
}

pub(super) fn concerned(participant: &Participant, row: &BreakRow) -> bool {
    let regions = [&row.region, &row.institution_region].into_iter().flatten();
    participant.kind() == ParticipantKind::Gateway || regions.into_iter().any(|region| region == participant)
}

pub(super) fn find(snapshot: &Snapshot, name: &str) -> Result<Arc<BreakRow>, Stop> {
    let row = snapshot.get::<BreakRow>(key![name.to_owned()])?;
    Ok(guard::found(row, "reconciliation_break", name)?)
}

/// Who resolves does not sign: both touch the channel's row, so neither overlooks the other.
fn one_after_the_other(leaf: &mut Leaf, row: &BreakRow) {
    if let Some(channel) = &row.channel {
        leaf.guard::<ParticipantRow>(key![channel.clone()]);
    }
}

pub(super) fn finish(call: &Call, kind: &'static str, row: &BreakRow) -> Decision {
    let mut decision = Decision::new(call);
    let leaf = decision.leaf(kind, &row.break_name, row.version);
    leaf.put(row);
    one_after_the_other(leaf, row);
    row.tell(leaf);
    decision
}

/// Proposes how to resolve a break.
#[derive(Clone, Debug)]
pub struct ProposeResolution {
    pub break_name: String,
    pub resolution: Resolution,
    pub reason: String,
    /// `elders/…`: whose account bears or receives it; needed by `ACCEPT` where the file names
    /// an order that the ledger does not know, refused elsewhere.
    pub elder: Option<String>,
}

/// The longest reason, in characters.
pub(super) const REASON_LIMIT: usize = 1_000;

impl Command for ProposeResolution {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = find(snapshot, &self.break_name)?;
        check_actor(call, &row)?;
        guard::state(row.state, &[BreakState::New, BreakState::Assigned], "reconciliation_break", &self.break_name)?;
        guard::text("reason", &self.reason, REASON_LIMIT)?;
        check_allowed(&row, self.resolution)?;
        let person = self.person(snapshot, &row)?;
        let row = BreakRow {
            state: BreakState::Proposed,
            resolution: Some(self.resolution),
            person,
            proposed_by: Some(call.actor.clone()),
            proposal_reason: Some(self.reason.clone()),
            decided_by: None,
            decision_reason: None,
            hands: hands(&row, &call.actor),
            ..row.step(BreakStep::Proposed, &call.actor, call.now, &self.reason)
        };
        Ok(finish(call, "break.proposed", &row))
    }
}

impl ProposeResolution {
    /// The elder whose money it is: known, or named now.
    fn person(&self, snapshot: &Snapshot, row: &BreakRow) -> Result<Option<String>, Stop> {
        let known = row.stakes.0.iter().all(|s| s.person.is_some());
        let needed = self.resolution == Resolution::Accept && !known;
        match &self.elder {
            None if needed => Err(Reason::FieldMissing.field("elder").into()),
            None => Ok(row.person.clone()),
            Some(_) if !needed => {
                Err(Reason::FieldMalformed.field("elder").var("expected", "empty: the break names the elder").into())
            }
            Some(elder) => {
                Name::parse_field("elder", elder, &[Collection::Elder])?;
                guard::found(snapshot.get::<PersonRow>(key![elder.clone()])?, "elder", elder)?;
                Ok(Some(elder.clone()))
            }
        }
    }
}

/// The second person's decision. Approval books; a break declined is open again.
#[derive(Clone, Debug)]
pub struct DecideResolution {
    pub break_name: String,
    /// The version the caller has seen; 0 means any.
    pub expected_version: i64,
    pub approve: bool,
    pub reason: String,
}

impl Command for DecideResolution {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = find(snapshot, &self.break_name)?;
        check_actor(call, &row)?;
        guard::seen_version(self.expected_version, row.version, &self.break_name)?;
        guard::state(row.state, &[BreakState::Proposed], "reconciliation_break", &self.break_name)?;
        guard::text("reason", &self.reason, REASON_LIMIT)?;
        let proposer = row.proposed_by.as_ref();
        if proposer == Some(&call.actor) {
            return Err(Reason::SamePerson.field("reconciliation_break").var("name", &call.actor).into());
        }
        let step = if self.approve { BreakStep::Approved } else { BreakStep::Declined };
        let decided = BreakRow {
            decided_by: Some(call.actor.clone()),
            decision_reason: Some(self.reason.clone()),
            hands: hands(&row, &call.actor),
            ..row.step(step, &call.actor, call.now, &self.reason)
        };
        if !self.approve {
            return Ok(finish(call, "break.declined", &unproposed(decided)));
        }
        let terms = terms(snapshot, &row)?;
        let same_organisation = proposer.is_some_and(|p| p.participant() == call.participant());
        if same_organisation && terms.needs_other_organisation(row.class, row.amount_fen) {
            return Err(Reason::SameOrganisation.field("reconciliation_break").var("name", call.participant()).into());
        }
        approve(snapshot, call, decided)
    }
}

/// Resolves a break as a rule of the policy says, without anybody: the gateway's own.
#[derive(Clone, Debug)]
pub struct ResolveAutomatically {
    pub break_name: String,
}

impl ResolveAutomatically {
    /// Whether some rule fits a break, whose table and stakes let it be done.
    pub fn fits(snapshot: &Snapshot, row: &BreakRow) -> Result<bool, Stop> {
        Ok(automatic(snapshot, row)?.is_some())
    }
}

impl Command for ResolveAutomatically {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        if call.actor.is_admin() || call.participant().kind() != ParticipantKind::Gateway {
            return Err(Reason::RoleNotAllowed.into());
        }
        let row = find(snapshot, &self.break_name)?;
        guard::state(row.state, &[BreakState::New], "reconciliation_break", &self.break_name)?;
        let Some((resolution, policy)) = automatic(snapshot, &row)? else {
            return Err(guard::wrong_state("no rule", "a rule", "reconciliation_break", &self.break_name).into());
        };
        let resolved = BreakRow {
            resolution: Some(resolution),
            decided_by: Some(call.actor.clone()),
            decision_reason: Some(policy.clone()),
            policy: Some(policy.clone()),
            ..row.step(BreakStep::Automatic, &call.actor, call.now, &policy)
        };
        approve(snapshot, call, resolved)
    }
}

/// What the policy in force makes of a break nobody works on, and the rule's name in full.
fn automatic(snapshot: &Snapshot, row: &BreakRow) -> Result<Option<(Resolution, String)>, Stop> {
    let terms = terms(snapshot, row)?;
    let knows_elder = row.stakes.0.iter().all(|s| s.person.is_some());
    Ok(terms
        .automatic_for(row.class, row.amount_fen)
        .filter(|rule| check_allowed(row, rule.resolution).is_ok())
        .filter(|rule| knows_elder || rule.resolution != Resolution::Accept)
        .map(|rule| (rule.resolution, format!("{}#{}", terms.policy_name, rule.name))))
}

fn terms(snapshot: &Snapshot, row: &BreakRow) -> Result<Terms, Stop> {
    let channel = row.channel.clone().unwrap_or_else(Participant::gateway);
    Terms::load(snapshot, &channel, row.clearing_date)
}

/// Everybody who proposed or decided so far, and one more.
fn hands(row: &BreakRow, actor: &Actor) -> Json<Vec<Actor>> {
    let mut hands = row.hands.0.clone();
    if !hands.contains(actor) {
        hands.push(actor.clone());
    }
    Json(hands)
}

/// Without its proposal, if there was one.
pub(super) fn unproposed(row: BreakRow) -> BreakRow {
    if row.state != BreakState::Proposed {
        return row;
    }
    let state = if row.assignee.is_some() { BreakState::Assigned } else { BreakState::New };
    let person = row.stakes.0.iter().find_map(|s| s.person.clone());
    BreakRow { state, resolution: None, person, ..row }
}

/// An account below zero keeps its finding (LEDGER.md, identity 3): only credits or refunds end it.
fn check_no_longer_overdrawn(snapshot: &Snapshot, row: &BreakRow) -> Result<(), Stop> {
    let account = row.subject.strip_prefix("accounts/").and_then(|a| a.parse::<Account>().ok());
    let Some(account) = account.filter(|_| row.class == BreakClass::Overspent) else { return Ok(()) };
    let available = snapshot.get::<AccountRow>(key![account])?.map_or(0, |row| row.available_fen());
    if available < 0 {
        return Err(guard::wrong_state("OVERDRAWN", "not overdrawn", "reconciliation_break", &row.subject).into());
    }
    Ok(())
}

fn approve(snapshot: &Snapshot, call: &Call, row: BreakRow) -> Result<Decision, Stop> {
    let resolution = row.resolution.expect("a proposal has one");
    check_allowed(&row, resolution)?;
    check_no_longer_overdrawn(snapshot, &row)?;
    let mut booked = Booked::new(snapshot, call, &row)?;
    for stake in &row.stakes.0 {
        booked.resolve(stake, resolution)?;
    }
    if resolution == Resolution::Accept && row.class == BreakClass::Ambiguous {
        booked.mark_matched(&row)?;
    }
    let siblings = booked.siblings()?;
    let mut decision = Decision::new(call);
    let leaf = decision.leaf("break.resolved", &row.break_name, row.version);
    one_after_the_other(leaf, &row);
    let mut entries = row.entries.0.clone();
    for transfer in booked.transfers.iter().filter(|t| t.amount_fen > 0) {
        entries.push(format!("{}#{}", leaf.leaf_id, leaf.transfers.len()));
        leaf.book(transfer.clone());
    }
    for row in booked.payments.values() {
        leaf.put(row);
    }
    for row in booked.refunds.values() {
        leaf.put(row);
    }
    for row in booked.claims.values() {
        leaf.put(row);
    }
    for row in booked.bill_lines.values() {
        leaf.put(row);
    }
    let resolved =
        BreakRow { state: BreakState::Resolved, resolved_at_us: Some(call.now), entries: Json(entries), ..row.clone() };
    leaf.put(&resolved);
    resolved.tell(leaf);
    if !booked.payments.is_empty() {
        leaf.tell(&booked.channel);
    }
    for sibling in siblings {
        let cleared = super::breaks::clear(&sibling, &resolved.break_name, call.now);
        let leaf = decision.leaf("break.cleared", &cleared.break_name, cleared.version);
        leaf.put(&cleared);
        cleared.tell(leaf);
    }
    Ok(decision)
}

/// The entries of an approval and the rows that change with them, in memory.
struct Booked<'a> {
    snapshot: &'a Snapshot,
    call: &'a Call,
    row: &'a BreakRow,
    channel: Participant,
    prefunded: bool,
    transfers: Vec<Transfer>,
    payments: BTreeMap<String, PaymentRow>,
    refunds: BTreeMap<String, RefundRow>,
    claims: BTreeMap<String, ClaimRow>,
    bill_lines: BTreeMap<(String, FeeType), BillLineRow>,
    /// What each entitlement still has, as the entries so far leave it.
    available: BTreeMap<Account, i64>,
    /// Payments whose other break ends with this one.
    ended: Vec<(String, Vec<BreakClass>)>,
}

impl<'a> Booked<'a> {
    fn new(snapshot: &'a Snapshot, call: &'a Call, row: &'a BreakRow) -> Result<Self, Stop> {
        let channel = row.channel.clone().unwrap_or_else(Participant::gateway);
        let has_fee = row.stakes.0.iter().any(|s| s.kind == StakeKind::FeeInSuspense);
        let prefunded =
            has_fee && policy::in_force::<ChannelPolicy>(snapshot, channel.code(), row.clearing_date)?.prefunded;
        Ok(Self {
            snapshot,
            call,
            row,
            channel,
            prefunded,
            transfers: Vec::new(),
            payments: BTreeMap::new(),
            refunds: BTreeMap::new(),
            claims: BTreeMap::new(),
            bill_lines: BTreeMap::new(),
            available: BTreeMap::new(),
            ended: Vec::new(),
        })
    }

    fn resolve(&mut self, stake: &Stake, resolution: Resolution) -> Result<(), Stop> {
        use Resolution::{Accept, Release, Repay, WriteOff};
        let ambiguous = self.row.class == BreakClass::Ambiguous;
        match (stake.kind, resolution) {
            // The clearing of the pairs, below, empties suspense.
            (StakeKind::RowInSuspense | StakeKind::RefundInSuspense, Accept) if ambiguous => Ok(()),
            (StakeKind::InClearing, Accept) => {
                self.post(stake, EntryKind::Matched, self.clearing(stake), self.suspense(stake))
            }
            (StakeKind::RefundInClearing, Accept) => {
                self.post(stake, EntryKind::RefundInFile, self.suspense(stake), self.clearing(stake))
            }
            (StakeKind::RowInSuspense | StakeKind::DuplicateInSuspense | StakeKind::AmountInSuspense, Accept) => {
                self.accept_row(stake)
            }
            (
                StakeKind::RowInSuspense | StakeKind::DuplicateInSuspense | StakeKind::AmountInSuspense,
                Repay | Release,
            ) => self.repaid_in_file(stake),
            (StakeKind::Late, Accept) => self.accept_late(stake),
            (StakeKind::Late, Repay) => self.repay_late(stake),
            (StakeKind::Late, _) => self.write_off_late(stake),
            (StakeKind::RefundInSuspense, Accept) => self.accept_refund(stake),
            (StakeKind::RefundInSuspense, _) => {
                self.post(stake, EntryKind::SuspenseRepaid, self.suspense(stake), self.payable(stake))
            }
            (StakeKind::StatementInSuspense, Repay) => {
                self.post(stake, EntryKind::SuspenseRepaid, Account::bank(&stake.book), self.suspense(stake))
            }
            (
                StakeKind::RowInSuspense
                | StakeKind::DuplicateInSuspense
                | StakeKind::AmountInSuspense
                | StakeKind::StatementInSuspense
                | StakeKind::FeeInSuspense,
                WriteOff,
            ) => self.write_off(stake),
            (StakeKind::FeeInSuspense, Repay | Release) => {
                let money = if self.prefunded {
                    Account::prefund(&stake.book, &self.channel)
                } else {
                    Account::bank(&stake.book)
                };
                self.post(stake, EntryKind::FeeMoreRepaid, money, self.suspense(stake))
            }
            (StakeKind::FeeInSuspense, _) => {
                self.post(stake, EntryKind::FeeMoreAccepted, self.payable(stake), self.suspense(stake))
            }
            (StakeKind::FeeOfRow, Repay | Release) | (StakeKind::FeeBookedMore, _) => {
                let fee_payable = Account::fee_payable(&stake.book, &self.channel);
                self.post(stake, EntryKind::FeeFileLess, fee_payable, self.payable(stake))
            }
            (StakeKind::FeeOfRow, _) => Ok(()),
            (StakeKind::InClearing, _) => self.release_payment(stake),
            (StakeKind::RefundInClearing, _) => self.release_refund(stake),
            (StakeKind::ClaimInClearing, _) => self.release_claim(stake),
            // `check_allowed` lets no other pair through.
            (
                StakeKind::RowInSuspense
                | StakeKind::DuplicateInSuspense
                | StakeKind::AmountInSuspense
                | StakeKind::StatementInSuspense,
                Resolution::InstitutionBears | Resolution::CorrectRecord | Resolution::Justified | Resolution::Cleared,
            )
            | (StakeKind::StatementInSuspense, Accept | Release) => Ok(()),
        }
    }

    fn suspense(&self, stake: &Stake) -> Account {
        Account::suspense(&stake.book, &self.channel)
    }

    fn clearing(&self, stake: &Stake) -> Account {
        Account::clearing(&stake.book, &self.channel, stake.clearing_date)
    }

    fn payable(&self, stake: &Stake) -> Account {
        Account::payable(&stake.book, &stake.institution, &self.channel)
    }

    fn person(&self, stake: &Stake) -> Result<String, Stop> {
        let person = stake.person.clone().or_else(|| self.row.person.clone());
        person.ok_or_else(|| Reason::FieldMissing.field("elder").into())
    }

    fn entitlement(&self, stake: &Stake) -> Result<Account, Stop> {
        Ok(Account::entitlement(&stake.book, id_of(&self.person(stake)?), &self.channel))
    }

    fn post(&mut self, stake: &Stake, entry: EntryKind, debit: Account, credit: Account) -> Result<(), Stop> {
        self.post_amount(stake, entry, debit, credit, stake.amount_fen);
        Ok(())
    }

    /// Books on the stake's own clearing date, naming the transfer that put the money there. Money at a bank
    /// moves today: a statement of the old date has it not.
    fn post_amount(&mut self, stake: &Stake, entry: EntryKind, debit: Account, credit: Account, amount_fen: i64) {
        let is_cash = debit.kind.is_cash() || credit.kind.is_cash();
        let on = if is_cash { self.call.now.date() } else { stake.clearing_date };
        let transfer = Transfer::posted(entry, debit, credit, amount_fen, self.call.now.month()).on(on);
        self.transfers.push(match &stake.booked {
            Some(booked) => transfer.correcting(booked.clone()),
            None => transfer,
        });
    }

    /// The elder bears it as far as her account goes; a shortfall is to be recovered from her.
    fn accept(&mut self, stake: &Stake) -> Result<(), Stop> {
        let entitlement = self.entitlement(stake)?;
        if !self.available.contains_key(&entitlement) {
            let row = self.snapshot.get::<AccountRow>(key![entitlement.clone()])?;
            self.available.insert(entitlement.clone(), row.map_or(0, |row| row.available_fen()));
        }
        let left = self.available.get_mut(&entitlement).expect("put just now");
        // Reversing the hold gives back what was kept for it.
        *left += stake.held_fen;
        let borne = stake.amount_fen.min((*left).max(0));
        *left -= borne;
        self.post_amount(stake, EntryKind::LateAccepted, entitlement, self.suspense(stake), borne);
        let receivable = Account::receivable(&stake.book, &self.person(stake)?);
        self.post_amount(stake, EntryKind::LateShortfall, receivable, self.suspense(stake), stake.amount_fen - borne);
        Ok(())
    }

    fn accept_row(&mut self, stake: &Stake) -> Result<(), Stop> {
        self.accept(stake)?;
        let Some(mut payment) = self.payment(stake)? else { return Ok(()) };
        let gone = !matches!(payment.state, PaymentState::Confirmed | PaymentState::Late | PaymentState::Reserved);
        if gone {
            payment.state = PaymentState::Confirmed;
            payment.amount_fen = stake.amount_fen;
            payment.matched_by = stake.row.clone();
        } else {
            payment.amount_fen += stake.amount_fen;
        }
        self.move_bill(&payment, stake.amount_fen)?;
        self.keep(payment);
        Ok(())
    }

    /// The channel repaid what its file had: the refund has been, or will be, in its file too.
    fn repaid_in_file(&mut self, stake: &Stake) -> Result<(), Stop> {
        self.post(stake, EntryKind::LateRefunded, self.clearing(stake), self.suspense(stake))?;
        self.post(stake, EntryKind::RefundInFile, self.payable(stake), self.clearing(stake))
    }

    fn reverse_hold(&mut self, stake: &Stake) -> Result<(), Stop> {
        let (entitlement, month) = (self.entitlement(stake)?, self.call.now.month());
        let transfer =
            Transfer::held(EntryKind::HoldReversed, self.suspense(stake), entitlement, stake.held_fen, month);
        let transfer = transfer.on(stake.clearing_date);
        self.transfers.push(match &stake.booked {
            Some(booked) => transfer.correcting(booked.clone()),
            None => transfer,
        });
        Ok(())
    }

    fn accept_late(&mut self, stake: &Stake) -> Result<(), Stop> {
        self.reverse_hold(stake)?;
        self.accept(stake)?;
        self.end_late(stake, PaymentState::Confirmed)
    }

    fn repay_late(&mut self, stake: &Stake) -> Result<(), Stop> {
        self.reverse_hold(stake)?;
        self.post(stake, EntryKind::LateRefunded, self.clearing(stake), self.suspense(stake))?;
        let in_file = self.payment(stake)?.is_some_and(|p| p.matched_by.is_some());
        if in_file {
            self.post(stake, EntryKind::RefundInFile, self.payable(stake), self.clearing(stake))?;
        }
        self.end_late(stake, PaymentState::Reversed)?;
        let record = stake.record.clone().unwrap_or_default();
        self.ended.push((record, vec![BreakClass::LedgerOnly, BreakClass::Cutoff]));
        Ok(())
    }

    fn write_off_late(&mut self, stake: &Stake) -> Result<(), Stop> {
        self.reverse_hold(stake)?;
        self.write_off(stake)?;
        self.end_late(stake, PaymentState::Confirmed)
    }

    fn end_late(&mut self, stake: &Stake, state: PaymentState) -> Result<(), Stop> {
        let Some(mut payment) = self.payment(stake)? else { return Ok(()) };
        payment.state = state;
        payment.kept_fen = 0;
        if state == PaymentState::Confirmed {
            self.move_bill(&payment, payment.amount_fen)?;
        }
        self.keep(payment);
        Ok(())
    }

    fn accept_refund(&mut self, stake: &Stake) -> Result<(), Stop> {
        let entitlement = self.entitlement(stake)?;
        self.post(stake, EntryKind::RefundOrphanAccepted, self.suspense(stake), entitlement)?;
        let Some(mut payment) = self.payment(stake)? else { return Ok(()) };
        payment.refunded_fen += stake.amount_fen;
        self.move_bill(&payment, -stake.amount_fen)?;
        self.keep(payment);
        Ok(())
    }

    /// The region bears it; the funder is the district of the elder's household registration.
    fn write_off(&mut self, stake: &Stake) -> Result<(), Stop> {
        let person = stake.person.clone().or_else(|| self.row.person.clone());
        let funder = match person {
            Some(person) => self.snapshot.get::<PersonRow>(key![person])?.map(|p| p.household_division.clone()),
            None => None,
        };
        let division = funder.unwrap_or_else(|| stake.book.region().code().to_owned());
        let expense = Account::expense(&stake.book, &division, self.call.now.month().year());
        self.post(stake, EntryKind::WrittenOff, expense, self.suspense(stake))
    }

    fn release_payment(&mut self, stake: &Stake) -> Result<(), Stop> {
        let Some(mut payment) = self.payment(stake)? else { return Ok(()) };
        if payment.state == PaymentState::Late {
            return self.release_late(stake, payment);
        }
        let partial = payment.matched_by.is_some();
        let entry = if partial { EntryKind::AmountFileLess } else { EntryKind::LedgerOnlyCleared };
        let entitlement = self.entitlement(stake)?;
        self.post(stake, entry, self.clearing(stake), entitlement)?;
        if partial {
            payment.refunded_fen += stake.amount_fen;
        } else {
            payment.state = PaymentState::Reversed;
        }
        self.move_bill(&payment, -stake.amount_fen)?;
        self.keep(payment);
        Ok(())
    }

    /// A late confirmation that no file shows: what it put into suspense comes back from clearing.
    fn release_late(&mut self, stake: &Stake, payment: PaymentRow) -> Result<(), Stop> {
        let partial = payment.matched_by.is_some();
        self.post(stake, EntryKind::LateRefunded, self.clearing(stake), self.suspense(stake))?;
        if !partial {
            self.reverse_hold(&Stake { held_fen: payment.kept_fen, ..stake.clone() })?;
            self.ended.push((payment.payment.clone(), vec![BreakClass::LateConfirmation]));
            self.keep(PaymentRow { state: PaymentState::Reversed, kept_fen: 0, ..payment });
        }
        Ok(())
    }

    /// The channel says nothing was refunded.
    fn release_refund(&mut self, stake: &Stake) -> Result<(), Stop> {
        let entitlement = self.entitlement(stake)?;
        self.post(stake, EntryKind::LedgerOnlyCleared, entitlement, self.clearing(stake))?;
        let Some(record) = stake.record.clone().filter(|r| r.starts_with("refunds/")) else { return Ok(()) };
        let Some(refund) = self.snapshot.get::<RefundRow>(key![record])? else { return Ok(()) };
        if let Some(payment) = self.snapshot.get::<PaymentRow>(key![refund.payment.clone()])? {
            let mut payment = self.payments.get(&payment.payment).cloned().unwrap_or_else(|| self.next(&payment));
            payment.refunded_fen -= stake.amount_fen;
            self.move_bill(&payment, stake.amount_fen)?;
            self.keep(payment);
        }
        if refund.matched_by.is_none() {
            let matched_by = Some(self.row.break_name.clone());
            let row = RefundRow {
                state: RefundState::Matched,
                matched_by,
                version: refund.version + 1,
                recorded_at_us: self.call.now,
                ..(*refund).clone()
            };
            self.refunds.insert(row.refund.clone(), row);
        }
        Ok(())
    }

    /// The bank says nothing was transferred: the subsidy is owed again.
    fn release_claim(&mut self, stake: &Stake) -> Result<(), Stop> {
        self.post(stake, EntryKind::OperatingSubsidyReturned, self.clearing(stake), self.payable(stake))?;
        let Some(record) = stake.record.clone() else { return Ok(()) };
        if let Some(claim) = self.snapshot.get::<ClaimRow>(key![record])?
            && claim.amount_fen == stake.amount_fen
        {
            let row = ClaimRow {
                state: ClaimState::Approved,
                order_id: None,
                clearing_date: None,
                recorded_at_us: self.call.now,
                version: claim.version + 1,
                ..(*claim).clone()
            };
            self.claims.insert(row.claim.clone(), row);
        }
        Ok(())
    }

    /// The payment a stake is about: directly, or through its refund.
    fn payment(&self, stake: &Stake) -> Result<Option<PaymentRow>, Stop> {
        let Some(record) = stake.record.clone() else { return Ok(None) };
        let name = if record.starts_with("refunds/") {
            self.snapshot.get::<RefundRow>(key![record])?.map(|r| r.payment.clone())
        } else {
            Some(record).filter(|r| r.starts_with("payments/"))
        };
        let Some(name) = name else { return Ok(None) };
        if let Some(changed) = self.payments.get(&name) {
            return Ok(Some(changed.clone()));
        }
        Ok(self.snapshot.get::<PaymentRow>(key![name])?.map(|p| self.next(&p)))
    }

    /// The payment's next version, not changed yet.
    fn next(&self, payment: &PaymentRow) -> PaymentRow {
        PaymentRow { version: payment.version + 1, recorded_at_us: self.call.now, ..payment.clone() }
    }

    fn keep(&mut self, payment: PaymentRow) {
        self.payments.insert(payment.payment.clone(), payment);
    }

    fn move_bill(&mut self, payment: &PaymentRow, posted_fen: i64) -> Result<(), Stop> {
        let key = (payment.bill.clone(), payment.fee_type);
        if !self.bill_lines.contains_key(&key) {
            let Some(line) = self.snapshot.get::<BillLineRow>(key![key.0.clone(), key.1])? else { return Ok(()) };
            self.bill_lines.insert(key.clone(), (*line).clone());
        }
        self.bill_lines.get_mut(&key).expect("put just now").posted_fen += posted_fen;
        Ok(())
    }

    /// The payments of an ambiguous unit are those of its rows.
    fn mark_matched(&mut self, row: &BreakRow) -> Result<(), Stop> {
        let stakes: Vec<Stake> = row.stakes.0.iter().filter(|s| s.record.is_some()).cloned().collect();
        for (stake, matched_by) in stakes.iter().filter(|s| s.clearing_fen() != 0).zip(row.rows.0.iter().cycle()) {
            let record = stake.record.clone().unwrap_or_default();
            if record.starts_with("refunds/") {
                if let Some(refund) = self.snapshot.get::<RefundRow>(key![record])? {
                    let (state, matched_by) = (RefundState::Matched, Some(matched_by.clone()));
                    let row = RefundRow {
                        state,
                        matched_by,
                        version: refund.version + 1,
                        recorded_at_us: self.call.now,
                        ..(*refund).clone()
                    };
                    self.refunds.insert(row.refund.clone(), row);
                }
            } else if let Some(payment) = self.payment(stake)? {
                self.keep(PaymentRow { matched_by: Some(matched_by.clone()), ..payment });
            }
        }
        Ok(())
    }

    /// Other open breaks about the same money, which this resolution has ended.
    fn siblings(&self) -> Result<Vec<BreakRow>, Stop> {
        let mut siblings = Vec::new();
        for (payment, classes) in &self.ended {
            let breaks = self.snapshot.list::<BreakRow>(&["subject"], key![payment.clone()])?;
            let ended = breaks.iter().filter(|b| b.is_open() && classes.contains(&b.class));
            siblings.extend(ended.filter(|b| b.break_name != self.row.break_name).map(|b| (**b).clone()));
        }
        Ok(siblings)
    }
}
