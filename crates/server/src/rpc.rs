//! One thin file per service: parse, hand to the engine or the store, render.
//!
//! A mutation is [`support::mutate`] with a parser and a renderer; a bulk method is
//! [`support::batch`] with the same two. Reads are in [`read`].

mod agreement;
mod assessment;
mod bill;
mod channel;
mod contract;
mod disability_certificate;
mod elder;
mod eligibility;
mod entitlement;
mod event;
pub mod fields;
pub mod filter;
mod institution;
mod ledger;
mod mandate;
mod month_close;
mod operating_subsidy;
pub mod page;
mod participant;
mod payment;
mod policy;
mod rating;
pub mod read;
mod recognition;
mod reconciliation;
mod record_sets;
mod records;
mod report;
mod search;
mod settlement;
mod signatures;
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
        pb::channel_service_server::ChannelServiceServer::new => self::channel::ChannelApi,
        pb::event_service_server::EventServiceServer::new => self::event::EventApi,
        pb::ledger_service_server::LedgerServiceServer::new => self::ledger::LedgerApi,
        pb::reconciliation_service_server::ReconciliationServiceServer::new => self::reconciliation::ReconciliationApi,
        pb::settlement_service_server::SettlementServiceServer::new => self::settlement::SettlementApi,
        pb::month_close_service_server::MonthCloseServiceServer::new => self::month_close::MonthCloseApi,
        pb::entitlement_service_server::EntitlementServiceServer::new => self::entitlement::EntitlementApi,
        pb::operating_subsidy_service_server::OperatingSubsidyServiceServer::new => self::operating_subsidy::OperatingSubsidyApi,
        pb::payment_service_server::PaymentServiceServer::new => self::payment::PaymentApi,
        pb::bill_service_server::BillServiceServer::new => self::bill::BillApi,
        pb::contract_service_server::ContractServiceServer::new => self::contract::ContractApi,
        pb::elder_service_server::ElderServiceServer::new => self::elder::ElderApi,
        pb::institution_service_server::InstitutionServiceServer::new => self::institution::InstitutionApi,
        pb::mandate_service_server::MandateServiceServer::new => self::mandate::MandateApi,
        pb::participant_service_server::ParticipantServiceServer::new => self::participant::ParticipantApi,
        pb::stay_service_server::StayServiceServer::new => self::stay::StayApi,
        policy::PolicyServiceServer::new => self::policy::PolicyApi,
        pb::agreement_service_server::AgreementServiceServer::new => self::agreement::AgreementApi,
        rating::RatingServiceServer::new => self::rating::RatingApi,
        pb::assessment_service_server::AssessmentServiceServer::new => self::assessment::AssessmentApi,
        pb::disability_certificate_service_server::DisabilityCertificateServiceServer::new =>
            self::disability_certificate::DisabilityCertificateApi,
        pb::recognition_service_server::RecognitionServiceServer::new => self::recognition::RecognitionApi,
        pb::report_service_server::ReportServiceServer::new => self::report::ReportApi,
        pb::record_service_server::RecordServiceServer::new => self::record_sets::RecordApi,
    )
}
