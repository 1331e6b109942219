//! Bank statements and their transactions.

use jjj_domain::names::{Collection, Name};
use jjj_domain::recon::FileState;
use jjj_domain::recon::bank::{BankEntryRow, BankStatementRow};
use jjj_domain::rejection::{Reason, Rejection};

use crate::enums::enum_value;
use crate::parse::or_empty;
use crate::pb;

/// File and position of a statement's name, `files/{uuid}/statements/{n}`.
pub fn statement_name(field: &str, text: &str) -> Result<(String, i64), Rejection> {
    if text.is_empty() {
        return Err(Reason::FieldMissing.field(field));
    }
    let malformed = || Reason::FieldMalformed.field(field).var("expected", "files/{uuid}/statements/{n}");
    let (file, statement) = BankStatementRow::position_of(text)
        .filter(|(file, statement)| format!("{file}/statements/{statement}") == text)
        .ok_or_else(malformed)?;
    Name::parse_field(field, file, &[Collection::File]).map_err(|_| malformed())?;
    Ok((file.to_owned(), statement))
}

/// A statement without its transactions.
pub fn bank_statement(row: &BankStatementRow, file_state: FileState) -> pb::BankStatement {
    pb::BankStatement {
        name: row.name(),
        file: row.file.clone(),
        file_state: enum_value::<pb::FileState>(file_state.as_str()),
        channel: row.channel.to_string(),
        clearing_date: row.clearing_date.to_string(),
        reference: row.reference.clone(),
        account: row.account.clone(),
        opening_fen: row.opening_fen,
        opening_on: or_empty(&row.opening_on),
        closing_fen: row.closing_fen,
        closing_on: or_empty(&row.closing_on),
        credit_fen: row.credit_fen,
        debit_fen: row.debit_fen,
        entries: row.entries,
        page_entries: Vec::new(),
        next_page_token: String::new(),
    }
}

impl From<&BankEntryRow> for pb::BankEntry {
    fn from(row: &BankEntryRow) -> Self {
        Self {
            name: row.name(),
            entry: row.entry,
            part: row.part,
            direction: enum_value::<pb::EntryDirection>(row.direction.as_str()),
            amount_fen: row.amount_fen,
            entry_fen: row.entry_fen,
            status: enum_value::<pb::EntryStatus>(row.entry_status.as_str()),
            reversal: row.is_reversal,
            booked_on: row.booked_on.to_string(),
            value_on: or_empty(&row.value_on),
            end_to_end_id: row.end_to_end_id.clone(),
            bank_reference: row.bank_reference.clone(),
            counterparty: row.counterparty.clone(),
            counterparty_last4: row.counterparty_last4.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_file_and_position() {
        let file = "files/01980000-0000-7000-8000-000000000001";
        let read = |text: &str| statement_name("name", text).map_err(|refused| refused.reason);
        assert_eq!(read(&format!("{file}/statements/12")), Ok((file.to_owned(), 12)));
        assert_eq!(read(""), Err(Reason::FieldMissing));
        let wrong =
            ["", "#1", "/statements/", "/statements/-1x", "/statements/01", "/statements/1.0", "/statements/1/2"]
                .map(|end| format!("{file}{end}"));
        for text in wrong.iter().map(String::as_str).chain(["runs/1/statements/1", "/statements/1"]) {
            assert_eq!(read(text), Err(Reason::FieldMalformed), "{text}");
        }
    }
}
