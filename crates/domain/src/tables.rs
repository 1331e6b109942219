//! All tables of the domain.

use crate::row::{Row, TableSpec};
use crate::{care, entitlement, institution, ledger, participant, payment, person, policy, recon, record, subsidy};

/// Every table, in the order of the schema.
pub fn all() -> Vec<&'static TableSpec> {
    vec![
        participant::ParticipantRow::spec(),
        participant::AuthorityRow::spec(),
        participant::KeyRow::spec(),
        participant::AdministratorRow::spec(),
        participant::OriginRow::spec(),
        policy::PolicyRow::spec(),
        institution::InstitutionRow::spec(),
        institution::SigningScopeRow::spec(),
        institution::SettlementAccountRow::spec(),
        person::PersonRow::spec(),
        person::IdentifierRow::spec(),
        person::PersonDataRow::spec(),
        person::PersonKeyRow::spec(),
        person::AccessRow::spec(),
        record::RecordRow::spec(),
        record::RecognitionRow::spec(),
        care::contract::ContractRow::spec(),
        care::contract::FilingRow::spec(),
        care::stay::StayRow::spec(),
        care::bill::BillRow::spec(),
        care::bill::BillLineRow::spec(),
        care::mandate::MandateRow::spec(),
        entitlement::GrantRow::spec(),
        entitlement::MoneyEventRow::spec(),
        payment::OrderRow::spec(),
        payment::PaymentRow::spec(),
        payment::PaymentQueryRow::spec(),
        payment::quota::ChannelDayRow::spec(),
        payment::quota::QuotaRow::spec(),
        payment::RefundRow::spec(),
        subsidy::ClaimRow::spec(),
        ledger::AccountRow::spec(),
        ledger::TransferRow::spec(),
        recon::FileRow::spec(),
        recon::bank::BankStatementRow::spec(),
        recon::bank::BankEntryRow::spec(),
        recon::RunRow::spec(),
        recon::ViewRow::spec(),
        recon::UnitRow::spec(),
        recon::BreakRow::spec(),
    ]
}
