//! One thin file per service: parse, hand to the engine or the store, render.
//!
//! A mutation is [`support::mutate`] with a parser and a renderer; a bulk method is
//! [`support::batch`] with the same two. Reads are in [`read`].

mod bill;
mod contract;
mod elder;
pub mod envelope;
pub mod fields;
pub mod filter;
mod institution;
mod mandate;
pub mod page;
mod participant;
mod plain;
mod policy;
mod rating;
pub mod read;
mod stay;
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
        pb::bill_service_server::BillServiceServer::new => self::bill::BillApi,
        pb::contract_service_server::ContractServiceServer::new => self::contract::ContractApi,
        pb::elder_service_server::ElderServiceServer::new => self::elder::ElderApi,
        pb::institution_service_server::InstitutionServiceServer::new => self::institution::InstitutionApi,
        pb::mandate_service_server::MandateServiceServer::new => self::mandate::MandateApi,
        pb::participant_service_server::ParticipantServiceServer::new => self::participant::ParticipantApi,
        pb::stay_service_server::StayServiceServer::new => self::stay::StayApi,
        policy::PolicyServiceServer::new => self::policy::PolicyApi,
        rating::RatingServiceServer::new => self::rating::RatingApi,
    )
}
