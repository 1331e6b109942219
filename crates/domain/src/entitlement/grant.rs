//! Granting a month from the rate table on an eligibility basis
//! (京民养老发〔2019〕160号; DOMAIN.md §4).

use super::basis::{bases, highest};
use super::{GrantRow, GrantState, book, elder_id};
use crate::close;
use crate::decision::{Call, Command, Decision};
use crate::guard::own;
use crate::key;
use crate::ledger::{Account, EntryKind, Transfer};
use crate::names::{Collection, Name, Participant};
use crate::participant::active_participant;
use crate::person::{PersonRow, names_of, resolve_person};
use crate::policy::{self, BalanceOfRecord, ProgrammePolicy, Rate};
use crate::record::Standing;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Month;

/// Grants an elder the programme's rate of a month. The caller is the paying region.
///
/// The basis must hold on the month's first day, because changes apply from the
/// following month. Late claims reach back as far as the programme allows. A month is
/// granted once; when it was clawed back, it can be granted anew.
#[derive(Clone, Debug)]
pub struct GrantEntitlement {
    pub person: Name,
    pub programme: String,
    pub month: Month,
    /// The assessment or certificate to rest on; absent: whichever gives the highest rate.
    pub basis: Option<Name>,
    pub channel: Participant,
}

impl Command for GrantEntitlement {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let region = call.participant();
        let book = book(region, &self.programme)?;
        let programme = policy::in_force::<ProgrammePolicy>(snapshot, &book.to_string(), self.month.first_day());
        let channel = active_participant(snapshot, "channel", &self.channel);
        let person = resolve_person(snapshot, &self.person)?;
        person.current("elder")?;
        own(call, &person.household_region, "elder", &self.person)?;
        let programme = programme?;
        self.check_month(&programme, &person, call)?;
        channel?;
        let names = names_of(snapshot, &person.person)?;
        let fresh = self.check_not_granted(snapshot, &names);
        let rate = self.rate(snapshot, region, &names, &programme);
        fresh?;
        let (rate, basis) = rate?;

        let grant = Name::created(Collection::Grant, call.request_id);
        let at_once = programme.balance_of_record == BalanceOfRecord::Gateway;
        let row = GrantRow {
            grant: grant.to_string(),
            person: person.person.clone(),
            region: region.clone(),
            programme: self.programme.clone(),
            month: self.month,
            channel: self.channel.clone(),
            funder_division: person.household_division.clone(),
            tier: rate.tier.clone(),
            amount_fen: rate.amount_fen,
            basis: basis.stands_on.record.clone(),
            basis_version: basis.stands_on.version,
            state: if at_once { GrantState::Credited } else { GrantState::Granted },
            credited_fen: if at_once { rate.amount_fen } else { 0 },
            clawed_back_fen: 0,
            returned_fen: 0,
            reason: String::new(),
            recorded_at_us: call.now,
            version: 1,
        };
        let elder = elder_id(&person.person);
        let month = call.now.month();
        let expense = close::cost_account(snapshot, &book, &person.household_division, self.month.year(), call)?;
        let granted = Account::granted(&book, elder);
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("grant.granted", &grant, 1);
        leaf.put(&row).tell(region).tell(&self.channel);
        // Nothing stands for a month not granted yet: rivals meet at the elder.
        leaf.guard::<PersonRow>(key![person.person.clone()]);
        basis.stands_on.lock(leaf);
        leaf.book(Transfer::posted(EntryKind::MonthGranted, expense, granted.clone(), rate.amount_fen, month));
        if at_once {
            let entitlement = Account::entitlement(&book, elder, &self.channel);
            leaf.book(Transfer::posted(EntryKind::Credited, granted, entitlement, rate.amount_fen, month));
        } else {
            leaf.instruct(&self.channel);
        }
        Ok(decision)
    }
}

impl GrantEntitlement {
    fn check_month(&self, programme: &ProgrammePolicy, person: &PersonRow, call: &Call) -> Result<(), Rejection> {
        // Next month's money is paid by this month's end (DOMAIN.md §4 "Cycle").
        let ahead = self.month.months_since(call.now.month());
        if ahead > 1 {
            return Err(Reason::MonthInFuture.field("month").var("month", self.month));
        }
        if i64::from(-ahead) > programme.back_pay_months {
            let fault = Reason::BackPayTooOld.field("month").var("month", self.month);
            return Err(fault.var("months", programme.back_pay_months));
        }
        match person.died_on {
            Some(died_on) if died_on.month() < self.month => {
                Err(Reason::PersonDeceased.field("elder").var("name", &person.person))
            }
            _ => Ok(()),
        }
    }

    fn check_not_granted(&self, snapshot: &Snapshot, names: &[String]) -> Result<(), Stop> {
        for name in names {
            let values = key![name.clone(), self.programme.clone(), self.month];
            let earlier = snapshot.list::<GrantRow>(&["person", "programme", "month"], values)?;
            if let Some(grant) = earlier.iter().find(|g| g.state != GrantState::ClawedBack) {
                let fault = Reason::AlreadyGranted.field("month").var("month", self.month);
                return Err(fault.var("name", &grant.grant).into());
            }
        }
        Ok(())
    }

    fn rate(
        &self,
        snapshot: &Snapshot,
        region: &Participant,
        names: &[String],
        programme: &ProgrammePolicy,
    ) -> Result<(Rate, Standing), Stop> {
        let mut bases = bases(snapshot, region, names, self.month.first_day())?;
        if let Some(wanted) = &self.basis {
            bases.retain(|b| b.record.record == wanted.as_str());
            if bases.is_empty() {
                let fault = Reason::BasisNotValid.field("basis").var("name", wanted).var("month", self.month);
                return Err(fault.into());
            }
        }
        highest(programme, bases).ok_or_else(|| {
            let fault = Reason::NoRate.field("elder").var("programme", &self.programme);
            fault.var("name", &self.person).var("month", self.month).into()
        })
    }
}
