//! Files for reconciliation.

use jjj_domain::id::Digest;
use jjj_domain::recon::file::LineFault;
use jjj_domain::recon::refusal::RefusalReason;
use jjj_domain::recon::upload::BeginUpload;
use jjj_domain::recon::{FileContent, FileFormat, FileRow};
use jjj_domain::rejection::Rejection;

use crate::enums::enum_value;
use crate::parse::{choice, date, optional, or_empty, text, who};
use crate::pb;

impl TryFrom<&pb::BeginUploadRequest> for BeginUpload {
    type Error = Rejection;
    fn try_from(request: &pb::BeginUploadRequest) -> Result<Self, Rejection> {
        Ok(Self {
            clearing_date: date("clearing_date", &request.clearing_date)?,
            format: choice::<pb::FileFormat, FileFormat>("format", request.format)?,
            content: choice::<pb::FileContent, FileContent>("content", request.content)?,
            channel: optional(&request.channel, |channel| who("channel", channel, "channels/{id}"))?,
            merchant_id: text("merchant_id", &request.merchant_id)?,
            file_name: text("file_name", &request.file_name)?,
            size_bytes: request.size_bytes,
            sha256: Digest::parse_field("sha256", &request.sha256)?,
        })
    }
}

/// A file, of which so many bytes have arrived.
pub fn settlement_file(row: &FileRow, received_bytes: i64) -> pb::SettlementFile {
    pb::SettlementFile {
        name: row.file.clone(),
        sender: row.sender.to_string(),
        clearing_date: row.clearing_date.to_string(),
        format: enum_value::<pb::FileFormat>(row.format.as_str()),
        content: enum_value::<pb::FileContent>(row.content.as_str()),
        channel: row.channel.to_string(),
        merchant_id: row.merchant_id.clone(),
        file_name: row.file_name.clone(),
        size_bytes: row.size_bytes,
        sha256: row.sha256.clone(),
        state: enum_value::<pb::FileState>(row.state.as_str()),
        received_bytes,
        rows: row.rows,
        rejected_rows: row.rejected_rows,
        rejections: row.rejections.0.iter().map(rejected_row).collect(),
        refusal: row.refusal.map(|r| r.to_string()).unwrap_or_default(),
        refusal_detail: row.refusal_detail.clone(),
        refusal_message_en: row.refusal.map_or("", RefusalReason::message_en).to_owned(),
        refusal_message_zh: row.refusal.map_or("", RefusalReason::message_zh).to_owned(),
        superseded_by: or_empty(&row.superseded_by),
        version: row.version,
        recorded_time_us: row.recorded_at_us.0,
    }
}

fn rejected_row(fault: &LineFault) -> pb::RejectedRow {
    pb::RejectedRow {
        line: fault.line,
        byte_offset: fault.byte_offset,
        field: fault.field.clone(),
        reason: fault.reason.to_string(),
        message_en: fault.reason.message_en().to_owned(),
        message_zh: fault.reason.message_zh().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, EnumUnspecified, FieldMalformed, FieldMissing};

    use super::*;

    fn good() -> pb::BeginUploadRequest {
        pb::BeginUploadRequest {
            request_id: String::new(),
            clearing_date: "2026-11-18".into(),
            format: pb::FileFormat::Csv.into(),
            content: pb::FileContent::Settlement.into(),
            channel: String::new(),
            merchant_id: String::new(),
            file_name: "20261118.csv".into(),
            size_bytes: 3,
            sha256: "0".repeat(64),
        }
    }

    #[test]
    fn a_well_formed_announcement_is_read_whole() {
        let command = BeginUpload::try_from(&good()).unwrap();
        assert_eq!((command.format, command.content), (FileFormat::Csv, FileContent::Settlement));
        assert_eq!((command.channel, command.size_bytes), (None, 3));
    }

    #[test]
    fn refusals() {
        type Spoil = fn(&mut pb::BeginUploadRequest);
        let table: [(Spoil, Reason, &str); 8] = [
            (|r| r.clearing_date.clear(), FieldMissing, "clearing_date"),
            (|r| r.clearing_date = "20261118".into(), FieldMalformed, "clearing_date"),
            (|r| r.format = 0, EnumUnspecified, "format"),
            (|r| r.content = 99, EnumUnspecified, "content"),
            (|r| r.channel = "unionpay".into(), FieldMalformed, "channel"),
            (|r| r.file_name = "a\0".into(), FieldMalformed, "file_name"),
            (|r| r.sha256.clear(), FieldMissing, "sha256"),
            (|r| r.sha256 = "A".repeat(64), FieldMalformed, "sha256"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            let refused = BeginUpload::try_from(&request).unwrap_err();
            assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
        }
    }
}
