//! A channel's limit per clearing date, drawn upon in many lanes.

use proptest::prelude::*;

use super::super::quota::{ChannelDayRow, QuotaRow, open_fen};
use super::super::world::{UNIONPAY, World, authorise, who};
use super::super::{EndReservation, ReservationEnd};
use crate::decision::Call;
use crate::names::Name;
use crate::policy::PolicyKind;
use crate::rejection::{Reason, Rejection};
use crate::time::DAY_US;

fn limited(limit_fen: i64) -> World {
    let mut world = World::funded();
    world.set(PolicyKind::Channel, "unionpay", |body| body["daily_limit_fen"] = limit_fen.into());
    world
}

impl World {
    fn call_in(&mut self, lane: i64) -> Call {
        Call { lane, ..self.call(UNIONPAY) }
    }

    fn pay(&mut self, lane: i64, amount_fen: i64) -> Result<Name, Rejection> {
        let call = self.call_in(lane);
        let order = format!("20261120{:08}", self.sim.decisions.len());
        let ask = authorise(self.now, &order, amount_fen);
        Ok(self.sim.execute(&call, &ask)?.record())
    }

    fn reverse(&mut self, lane: i64, payment: Name) {
        let call = self.call_in(lane);
        let end = EndReservation { payment, end: ReservationEnd::Reversed, reason: "declined".into() };
        self.sim.execute(&call, &end).unwrap();
    }

    fn open(&self) -> Option<i64> {
        self.sim.read(|snapshot| open_fen(snapshot, &who(UNIONPAY), self.now)).unwrap()
    }
}

#[test]
fn a_channel_without_a_limit_keeps_no_count() {
    let mut world = World::funded();
    world.pay(0, 100).unwrap();
    assert_eq!(world.open(), None);
    assert!(world.sim.all::<QuotaRow>().is_empty());
}

#[test]
fn what_is_reserved_counts_until_it_is_given_back_or_the_day_ends() {
    let mut world = limited(10_000);
    let first = world.pay(0, 6_000).unwrap();
    assert_eq!(world.open(), Some(4_000));
    let refused = world.pay(1, 4_001).unwrap_err();
    assert_eq!(refused, Reason::ChannelLimitExceeded.field("amount_fen").var("open", 4_000));
    world.pay(1, 4_000).unwrap();
    assert_eq!(world.open(), Some(0));
    world.reverse(2, first);
    assert_eq!(world.open(), Some(6_000), "given back in another lane than it was taken in");
    world.pay(3, 6_000).unwrap();
    assert!(world.pay(3, 1).is_err());
    world.now = world.now.plus_us(DAY_US);
    assert_eq!(world.open(), Some(10_000));
    world.pay(3, 7_000).unwrap();
}

#[test]
fn what_is_given_back_on_a_later_day_is_no_part_of_that_day() {
    let mut world = limited(10_000);
    let payment = world.pay(0, 6_000).unwrap();
    world.now = world.now.plus_us(DAY_US);
    world.reverse(0, payment);
    assert_eq!(world.open(), Some(10_000));
}

#[test]
fn lanes_meet_only_when_they_lease() {
    let mut world = limited(640_000);
    for n in 0..40 {
        world.pay(n % 2, 100).unwrap();
    }
    let of_table = |name: &str| {
        let writes = world.sim.decisions.iter().flat_map(|d| &d.leaves).flat_map(|leaf| &leaf.writes);
        writes.filter(|write| write.spec.name == name).count()
    };
    assert_eq!((of_table("quotas"), of_table("channel_days")), (40, 2), "one lease of a 64th each");
}

#[test]
fn a_limit_lowered_below_what_is_leased_leases_no_more() {
    let mut world = limited(6_400);
    world.pay(0, 90).unwrap();
    world.set(PolicyKind::Channel, "unionpay", |body| body["daily_limit_fen"] = 50.into());
    assert_eq!(world.open(), Some(0));
    world.pay(0, 10).unwrap();
    assert!(world.pay(0, 1).is_err(), "what was leased before is used up");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_limit_is_kept_to_the_fen(
        limit_fen in 1i64..5_000,
        steps in prop::collection::vec((0i64..6, 1i64..1_200, any::<bool>()), 1..40),
    ) {
        let mut world = limited(limit_fen);
        let mut open = Vec::new();
        let mut used = 0;
        for (lane, amount_fen, reverses) in steps {
            if let (true, Some((payment, amount_fen))) = (reverses, open.pop()) {
                world.reverse(lane, payment);
                used -= amount_fen;
            } else {
                match world.pay(lane, amount_fen) {
                    Ok(payment) => {
                        open.push((payment, amount_fen));
                        used += amount_fen;
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused.reason, Reason::ChannelLimitExceeded);
                        prop_assert!(used + amount_fen > limit_fen, "{} used of {}", used, limit_fen);
                    }
                }
            }
            prop_assert!(used <= limit_fen);
            prop_assert_eq!(world.open(), Some(limit_fen - used));
            let leased: i64 = world.sim.all::<QuotaRow>().iter().map(|quota| quota.leased_fen).sum();
            let day: i64 = world.sim.all::<ChannelDayRow>().iter().map(|day| day.leased_fen).sum();
            prop_assert!(leased == day && day <= limit_fen, "{} leased, {} counted", leased, day);
        }
    }
}
