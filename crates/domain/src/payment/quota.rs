//! A channel's limit per clearing date, without a hot counter.
//!
//! Each lane of the gateway's writers leases a part of the day's limit and draws on its lease alone,
//! so that two writers meet only when one of them leases more. Near the end of the limit it takes
//! over what other lanes have not used; so the limit is never exceeded, and nothing of it is lost
//! with a writer that is gone.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::decision::{Call, Leaf};
use crate::key;
use crate::names::Participant;
use crate::policy::{self, ChannelPolicy};
use crate::rejection::Reason;
use crate::row::Row;
use crate::snapshot::{Snapshot, Stop};
use crate::table;
use crate::time::{Date, Timestamp};

table! {
    /// How much of a channel's daily limit is leased.
    pub struct ChannelDayRow in "channel_days", Head
    key [channel, clearing_date] readers [channel]
    {
        pub channel: Participant,
        pub clearing_date: Date,
        pub leased_fen: i64,
    }
}

table! {
    /// A lane's lease of a channel's daily limit, and what it has drawn.
    pub struct QuotaRow in "quotas", Head
    key [channel, clearing_date, lane] index [channel, clearing_date] readers [channel]
    {
        pub channel: Participant,
        pub clearing_date: Date,
        pub lane: i64,
        pub leased_fen: i64,
        /// Reserved through this lane, less what was given back through it; so it may be negative.
        pub used_fen: i64,
    }
}

/// A lease is this part of the limit, or what is wanted if that is more.
const LEASES: i64 = 64;

/// What drawing on a quota writes. Nothing where the channel has no limit.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    day: Option<ChannelDayRow>,
    quotas: Vec<QuotaRow>,
}

impl Drawn {
    pub fn put(&self, leaf: &mut Leaf) {
        if let Some(day) = &self.day {
            leaf.put(day);
        }
        for quota in &self.quotas {
            leaf.put(quota);
        }
    }
}

impl QuotaRow {
    fn free_fen(&self) -> i64 {
        self.leased_fen - self.used_fen
    }
}

/// Takes an amount from the channel's limit of today.
///
/// # Errors
/// `CHANNEL_LIMIT_EXCEEDED` with what is open.
pub(super) fn draw(snapshot: &Snapshot, call: &Call, channel: &Participant, amount_fen: i64) -> Result<Drawn, Stop> {
    let Some(limit_fen) = limit(snapshot, channel, call.now)? else { return Ok(Drawn::default()) };
    let date = call.now.clearing_date();
    let mut own = own(snapshot, call, channel, date)?;
    let mut drawn = Drawn::default();
    if own.free_fen() < amount_fen {
        let day = snapshot.get::<ChannelDayRow>(key![channel.clone(), date])?;
        let mut day = day
            .map_or(ChannelDayRow { channel: channel.clone(), clearing_date: date, leased_fen: 0 }, |row| {
                (*row).clone()
            });
        // A limit that was lowered may be below what is leased.
        let open_fen = (limit_fen - day.leased_fen).max(0);
        let short_fen = amount_fen - own.free_fen();
        let leased_fen = short_fen.max(limit_fen / LEASES).min(open_fen);
        day.leased_fen += leased_fen;
        own.leased_fen += leased_fen;
        if leased_fen < short_fen {
            drawn.quotas = take_over(snapshot, &mut own, amount_fen)?;
        }
        if leased_fen > 0 {
            drawn.day = Some(day);
        }
    }
    own.used_fen += amount_fen;
    drawn.quotas.push(own);
    Ok(drawn)
}

/// Moves what other lanes have left to the own one, from the fullest first, until the amount is there.
fn take_over(snapshot: &Snapshot, own: &mut QuotaRow, amount_fen: i64) -> Result<Vec<QuotaRow>, Stop> {
    let mut others = of_day(snapshot, &own.channel, own.clearing_date)?;
    others.retain(|quota| quota.lane != own.lane && quota.free_fen() > 0);
    others.sort_by_key(|quota| (Reverse(quota.free_fen()), quota.lane));
    let mut taken = Vec::new();
    for other in others {
        if own.free_fen() >= amount_fen {
            break;
        }
        let free_fen = other.free_fen();
        own.leased_fen += free_fen;
        taken.push(QuotaRow { leased_fen: other.used_fen, ..(*other).clone() });
    }
    if own.free_fen() < amount_fen {
        let open_fen = own.free_fen().max(0);
        return Err(Reason::ChannelLimitExceeded.field("amount_fen").var("open", open_fen).into());
    }
    Ok(taken)
}

/// Gives back what was taken today: a reservation that ended, or a void.
pub(super) fn give_back(
    snapshot: &Snapshot,
    call: &Call,
    channel: &Participant,
    taken_on: Date,
    amount_fen: i64,
) -> Result<Drawn, Stop> {
    let date = call.now.clearing_date();
    if taken_on != date || limit(snapshot, channel, call.now)?.is_none() {
        return Ok(Drawn::default());
    }
    let mut own = own(snapshot, call, channel, date)?;
    own.used_fen -= amount_fen;
    Ok(Drawn { day: None, quotas: vec![own] })
}

/// What the channel may still reserve today, fen; `None`: it has no limit.
pub fn open_fen(snapshot: &Snapshot, channel: &Participant, now: Timestamp) -> Result<Option<i64>, Stop> {
    let Some(limit_fen) = limit(snapshot, channel, now)? else { return Ok(None) };
    let used_fen: i64 = of_day(snapshot, channel, now.clearing_date())?.iter().map(|quota| quota.used_fen).sum();
    Ok(Some((limit_fen - used_fen).max(0)))
}

fn limit(snapshot: &Snapshot, channel: &Participant, now: Timestamp) -> Result<Option<i64>, Stop> {
    let policy = policy::find::<ChannelPolicy>(snapshot, channel.code(), now.clearing_date())?;
    Ok(policy.and_then(|policy| policy.daily_limit_fen))
}

fn own(snapshot: &Snapshot, call: &Call, channel: &Participant, date: Date) -> Result<QuotaRow, Stop> {
    let row = snapshot.get::<QuotaRow>(key![channel.clone(), date, call.lane])?;
    let none =
        || QuotaRow { channel: channel.clone(), clearing_date: date, lane: call.lane, leased_fen: 0, used_fen: 0 };
    Ok(row.map_or_else(none, |row| (*row).clone()))
}

fn of_day(snapshot: &Snapshot, channel: &Participant, date: Date) -> Result<Vec<Arc<QuotaRow>>, Stop> {
    snapshot.list::<QuotaRow>(QuotaRow::spec().indexes[0], key![channel.clone(), date])
}
