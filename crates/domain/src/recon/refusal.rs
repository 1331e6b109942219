//! Why a file is refused whole, and what is said of a row that is set aside: stable for machines,
//! bilingual for people. The reasons are API: never rename one.

use super::file::FaultReason;
use crate::text_enum;

text_enum! {
    /// Why a file is refused whole. It is kept all the same, with its digest.
    pub enum RefusalReason {
        Unreadable = "UNREADABLE",
        Header = "HEADER",
        RowTooLong = "ROW_TOO_LONG",
        NoReadableRow = "NO_READABLE_ROW",
        ArchiveDamaged = "ARCHIVE_DAMAGED",
        ArchiveUnsupported = "ARCHIVE_UNSUPPORTED",
        ArchiveTooLarge = "ARCHIVE_TOO_LARGE",
        MemberName = "MEMBER_NAME",
        MemberDuplicate = "MEMBER_DUPLICATE",
        MemberUnknown = "MEMBER_UNKNOWN",
        MemberNested = "MEMBER_NESTED",
        MemberMissing = "MEMBER_MISSING",
        XmlMalformed = "XML_MALFORMED",
        XmlDocumentType = "XML_DOCUMENT_TYPE",
        XmlEntity = "XML_ENTITY",
        XmlTooLarge = "XML_TOO_LARGE",
        Encoding = "ENCODING",
        MessageUnknown = "MESSAGE_UNKNOWN",
        Schema = "SCHEMA",
        Currency = "CURRENCY",
        Balance = "BALANCE",
        ControlTotal = "CONTROL_TOTAL",
        TooManyEntries = "TOO_MANY_ENTRIES",
    }
}

impl RefusalReason {
    pub const fn message_en(self) -> &'static str {
        match self {
            Self::Unreadable => "the file cannot be read",
            Self::Header => "the first line is not the format's header",
            Self::RowTooLong => "a row is longer than any of the format",
            Self::NoReadableRow => "no row can be read: another encoding or another format",
            Self::ArchiveDamaged => "the zip is cut short or contradicts itself",
            Self::ArchiveUnsupported => "the zip uses a feature that is not taken",
            Self::ArchiveTooLarge => "the zip unpacks to more than is taken",
            Self::MemberName => "a member's name is no plain file name",
            Self::MemberDuplicate => "two members have the same name",
            Self::MemberUnknown => "a member is none of the format's",
            Self::MemberNested => "a member is itself an archive",
            Self::MemberMissing => "the zip lacks a ZM or ZME member",
            Self::XmlMalformed => "the XML is not well-formed",
            Self::XmlDocumentType => "the XML has a document type declaration",
            Self::XmlEntity => "the XML refers to an entity of its own",
            Self::XmlTooLarge => "the XML is nested too deeply, or an element is too large",
            Self::Encoding => "the text is not in the format's encoding",
            Self::MessageUnknown => "the XML is not the message announced, or in a version that is not read",
            Self::Schema => "the message lacks what its schema requires, or has what it forbids",
            Self::Currency => "the currency is not CNY",
            Self::Balance => "opening balance and entries do not come to the closing balance",
            Self::ControlTotal => "the stated totals are not those of the entries",
            Self::TooManyEntries => "the statement has more entries than are taken",
        }
    }

    pub const fn message_zh(self) -> &'static str {
        match self {
            Self::Unreadable => "文件无法读取",
            Self::Header => "首行不是本格式的表头",
            Self::RowTooLong => "有一行超过本格式的最大长度",
            Self::NoReadableRow => "没有一行可以读取：编码或格式不符",
            Self::ArchiveDamaged => "压缩包不完整或自相矛盾",
            Self::ArchiveUnsupported => "压缩包使用了不受理的特性",
            Self::ArchiveTooLarge => "压缩包解压后超过受理上限",
            Self::MemberName => "成员名不是普通文件名",
            Self::MemberDuplicate => "两个成员同名",
            Self::MemberUnknown => "成员不属于本格式",
            Self::MemberNested => "成员本身是压缩包",
            Self::MemberMissing => "压缩包缺少 ZM 或 ZME 成员",
            Self::XmlMalformed => "XML 格式错误",
            Self::XmlDocumentType => "XML 含有文档类型声明",
            Self::XmlEntity => "XML 引用了自定义实体",
            Self::XmlTooLarge => "XML 嵌套过深或元素过大",
            Self::Encoding => "文本编码不符合本格式",
            Self::MessageUnknown => "XML 不是所申报的报文，或版本不受理",
            Self::Schema => "报文缺少模式要求的内容，或含有模式禁止的内容",
            Self::Currency => "币种不是人民币（CNY）",
            Self::Balance => "期初余额加发生额不等于期末余额",
            Self::ControlTotal => "汇总数与明细不符",
            Self::TooManyEntries => "对账单明细超过受理上限",
        }
    }
}

/// A file refused whole: why, and where or what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRefusal {
    pub reason: RefusalReason,
    /// A member's name, an element, an offset; never a row's content. May be empty.
    pub detail: String,
}

/// The most characters of a refusal's detail.
const MAX_DETAIL_CHARS: usize = 200;

impl FileRefusal {
    /// Details are cut, and control characters in them replaced: names come from the file.
    pub fn new(reason: RefusalReason, detail: impl std::fmt::Display) -> Self {
        let detail = detail.to_string();
        let shown = detail.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        Self { reason, detail: shown.take(MAX_DETAIL_CHARS).collect() }
    }
}

impl FaultReason {
    pub const fn message_en(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Malformed => "is not of its form",
            Self::OutOfRange => "is outside its range",
            Self::CheckDigit => "has a wrong check digit",
            Self::FieldCount => "the row does not have the format's fields or length",
            Self::Unreadable => "the row cannot be read: encoding, quoting or separators",
            Self::UnknownCode => "is a code that the channel's policy does not name",
            Self::UnknownMerchant => "is a merchant of no institution's settlement account",
            Self::UnknownOriginal => "names a transaction that cannot be told from the file",
        }
    }

    pub const fn message_zh(self) -> &'static str {
        match self {
            Self::Missing => "缺少内容",
            Self::Malformed => "格式错误",
            Self::OutOfRange => "超出范围",
            Self::CheckDigit => "校验码错误",
            Self::FieldCount => "字段数或行长不符合格式",
            Self::Unreadable => "该行无法读取：编码、引号或分隔符错误",
            Self::UnknownCode => "渠道政策未列明的代码",
            Self::UnknownMerchant => "没有机构的结算账户使用该商户号",
            Self::UnknownOriginal => "无法从文件确定所指的原交易",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_short_and_plain() {
        let refusal = FileRefusal::new(RefusalReason::MemberName, format!("a\0\x1b{}", "名".repeat(300)));
        assert_eq!(refusal.detail.chars().count(), MAX_DETAIL_CHARS);
        assert!(refusal.detail.starts_with("a\u{fffd}\u{fffd}名"));
    }

    #[test]
    fn every_reason_speaks_both_languages() {
        for reason in RefusalReason::ALL {
            assert!(reason.message_en().is_ascii() && !reason.message_zh().is_ascii(), "{reason}");
        }
        for reason in FaultReason::ALL {
            assert!(reason.message_en().is_ascii() && !reason.message_zh().is_ascii(), "{reason}");
        }
    }
}
