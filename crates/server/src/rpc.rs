//! One thin file per service: parse, hand to the engine or the store, render.
//!
//! A mutation is [`support::mutate`] with a parser and a renderer; a bulk method is
//! [`support::batch`] with the same two. Reads are in [`read`].

mod eligibility;
mod entitlement;
mod channel;
pub mod envelope;
mod event;
pub mod fields;
pub mod filter;
mod operating_subsidy;
mod ledger;
pub mod page;
mod payment;
mod policy;
mod rating;
pub mod read;
mod reconciliation;
pub mod support;

use std::sync::Arc;

use tonic::service::Routes;

use crate::gateway::Gateway;
use crate::identity::MAX_MESSAGE_LEN;

/// Every service of the package.
pub(crate) fn routes(gateway: &Arc<Gateway>) -> Routes {
    macro_rules! add {
        ($routes:expr; $($server:path => $api:path),+ $(,)?) => {
            $routes$(.add_service($server($api(gateway.clone())).max_decoding_message_size(MAX_MESSAGE_LEN)))+
        };
    }
    use jjj_wire::pb;
    use jjj_wire::pb::{policy_service_server as policy, rating_service_server as rating};
    add!(Routes::default();
        pb::channel_service_server::ChannelServiceServer::new => self::channel::ChannelApi,
        pb::event_service_server::EventServiceServer::new => self::event::EventApi,
        pb::ledger_service_server::LedgerServiceServer::new => self::ledger::LedgerApi,
        pb::reconciliation_service_server::ReconciliationServiceServer::new => self::reconciliation::ReconciliationApi,
        pb::entitlement_service_server::EntitlementServiceServer::new => self::entitlement::EntitlementApi,
        pb::operating_subsidy_service_server::OperatingSubsidyServiceServer::new => self::operating_subsidy::OperatingSubsidyApi,
        pb::payment_service_server::PaymentServiceServer::new => self::payment::PaymentApi,
        policy::PolicyServiceServer::new => self::policy::PolicyApi,
        rating::RatingServiceServer::new => self::rating::RatingApi,
    )
}
