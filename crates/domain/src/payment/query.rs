//! Queries: a reservation that its channel leaves unanswered is asked about, again and again at
//! growing intervals, until the outcome is known. When is the channel's policy.

use super::{PaymentRow, PaymentState};
use crate::decision::{Call, Command, Decision};
use crate::guard::{self, found};
use crate::key;
use crate::names::{Collection, Name, Participant};
use crate::policy::{self, ChannelPolicy, PolicyKind, PolicyRow, QueryPolicy};
use crate::snapshot::{Snapshot, Stop};
use crate::table;
use crate::time::{Date, Timestamp};

table! {
    /// How often a channel was asked what became of a reservation, and when it is asked next.
    ///
    /// A table of its own: payments are the hot path. A row stays when its payment is answered,
    /// and nobody looks at it again.
    pub struct PaymentQueryRow in "payment_queries", Head
    key [payment] readers [channel]
    {
        pub payment: String,
        pub channel: Participant,
        pub times_asked: i64,
        /// When it is asked again, if it is still reserved then.
        pub due_at_us: Timestamp,
    }
}

/// Asks the channel what became of a reservation. The gateway's timer is the caller.
///
/// Refused with `STATE_NOT_ALLOWED` when the payment is answered or the next query is not due:
/// timers of several replicas, or a late one, ask once.
#[derive(Clone, Debug)]
pub struct QueryPayment {
    pub payment: Name,
}

impl Command for QueryPayment {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let (payment, query) = self.find(snapshot)?;
        guard::state(payment.state, &[PaymentState::Reserved], "payment", &self.payment)?;
        let policy = policy_of(snapshot, payment.channel.code(), call.now.date())?;
        if call.now < due_at(&payment, query.as_ref(), policy) {
            return Err(guard::wrong_state("NOT_DUE", "DUE", "payment", &self.payment).into());
        }
        let times_asked = 1 + query.map_or(0, |query| query.times_asked);
        let row = PaymentQueryRow {
            payment: payment.payment.clone(),
            channel: payment.channel.clone(),
            times_asked,
            due_at_us: call.now.plus_us(policy.wait_us(times_asked)),
        };
        let mut decision = Decision::new(call);
        let name = Name::of(Collection::PaymentQuery, self.payment.id());
        let leaf = decision.leaf("payment.queried", name, times_asked);
        leaf.put(&row).tell(&payment.region).instruct(&payment.channel);
        Ok(decision)
    }
}

impl QueryPayment {
    /// Whether the channel is to be asked now.
    pub fn is_due(&self, snapshot: &Snapshot, now: Timestamp) -> Result<bool, Stop> {
        let (payment, query) = self.find(snapshot)?;
        let policy = policy_of(snapshot, payment.channel.code(), now.date())?;
        Ok(payment.state == PaymentState::Reserved && due_at(&payment, query.as_ref(), policy) <= now)
    }

    fn find(&self, snapshot: &Snapshot) -> Result<(PaymentRow, Option<PaymentQueryRow>), Stop> {
        let payment = snapshot.get::<PaymentRow>(key![self.payment.to_string()]);
        let query = snapshot.get::<PaymentQueryRow>(key![self.payment.to_string()])?;
        let payment = found(payment?, "payment", &self.payment)?;
        Ok(((*payment).clone(), query.map(|query| (*query).clone())))
    }
}

/// The shortest time after which any channel is first asked, microseconds: what was reserved later
/// need not be looked at.
pub fn shortest_wait_us(snapshot: &Snapshot, on: Date) -> Result<i64, Stop> {
    let policies = snapshot.list::<PolicyRow>(&["kind"], key![PolicyKind::Channel])?;
    let waits: Vec<_> = policies.iter().map(|row| policy_of(snapshot, &row.scope, on)).collect();
    let mut shortest = QueryPolicy::default().wait_us(0);
    for policy in waits {
        shortest = shortest.min(policy?.wait_us(0));
    }
    Ok(shortest)
}

fn due_at(payment: &PaymentRow, query: Option<&PaymentQueryRow>, policy: QueryPolicy) -> Timestamp {
    query.map_or(payment.recorded_at_us.plus_us(policy.wait_us(0)), |query| query.due_at_us)
}

/// A channel without a policy is asked all the same.
fn policy_of(snapshot: &Snapshot, channel: &str, on: Date) -> Result<QueryPolicy, Stop> {
    Ok(policy::find::<ChannelPolicy>(snapshot, channel, on)?.map_or(QueryPolicy::default(), |policy| policy.queries))
}
