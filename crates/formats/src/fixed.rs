//! UnionPay's rows of fixed width by byte: the field tables, and rows as texts and back.
//!
//! A row is GBK; its fields stand at fixed bytes, a space between every two. Texts are padded with
//! spaces on the right, numbers with zeros on the left; a field that is not used is all spaces.
//! A row is accepted only if it writes back to the very same bytes.

use encoding_rs::GBK;
use jjj_domain::recon::file::FaultReason;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Any text in GBK, no control characters.
    Text,
    /// Digits over the whole width.
    Digits,
    /// A sum: `C` (credit, to the merchant) or `D` (debit), then digits, fen.
    Sum,
    /// Kept for later: any text; spaces when written.
    Reserved,
}

/// One field of a row.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// UnionPay's name of the corresponding API field, in our spelling.
    pub name: &'static str,
    /// As the interface specification calls it.
    pub zh: &'static str,
    pub content: Content,
    /// Bytes.
    pub len: usize,
}

const fn text(name: &'static str, zh: &'static str, len: usize) -> Field {
    Field { name, zh, content: Content::Text, len }
}
const fn digits(name: &'static str, zh: &'static str, len: usize) -> Field {
    Field { name, zh, content: Content::Digits, len }
}
const fn sum(name: &'static str, zh: &'static str) -> Field {
    Field { name, zh, content: Content::Sum, len: 13 }
}
const fn reserved(name: &'static str, len: usize) -> Field {
    Field { name, zh: "保留使用", content: Content::Reserved, len }
}

/// The fields of ZM (transactions): 42 fields, 607 bytes.
pub const ZM: [Field; 42] = [
    text("transaction_code", "交易代码", 3),
    text("acquirer_code", "代理机构标识码", 11),
    text("forwarder_code", "发送机构标识码", 11),
    digits("trace_number", "系统跟踪号", 6),
    digits("transmission_time", "交易传输时间", 10),
    text("account", "账号", 19),
    digits("amount", "交易金额", 12),
    text("merchant_category", "商户类别", 4),
    text("terminal_type", "终端类型", 2),
    text("query_id", "查询流水号", 21),
    text("payment_method_old", "支付方式（旧）", 2),
    text("order_id", "商户订单号", 32),
    text("card_type", "支付卡类型", 2),
    digits("original_trace_number", "原始交易的系统跟踪号", 6),
    digits("original_time", "原始交易日期时间", 10),
    sum("fee", "商户手续费"),
    sum("settlement_amount", "结算金额"),
    text("payment_method", "支付方式", 4),
    text("merchant_group", "集团商户代码", 15),
    text("transaction_type", "交易类型", 2),
    text("transaction_subtype", "交易子类", 2),
    text("business_type", "业务类型", 6),
    text("account_type", "账号类型", 2),
    text("bill_type", "账单类型", 4),
    text("bill_number", "账单号码", 32),
    text("interaction_mode", "交互方式", 1),
    text("original_query_id", "原交易查询流水号", 21),
    text("merchant_id", "商户代码", 15),
    text("split_settlement", "分账入账方式", 1),
    text("sub_merchant_id", "二级商户代码", 15),
    text("sub_merchant_name", "二级商户简称", 32),
    sum("sub_merchant_amount", "二级商户分账入账金额"),
    sum("net_amount", "清算净额"),
    text("terminal_id", "终端号", 8),
    text("merchant_field", "商户自定义域", 32),
    sum("discount_amount", "优惠金额"),
    sum("invoice_amount", "发票金额"),
    digits("instalment_fee", "分期付款附加手续费", 12),
    digits("instalments", "分期付款期数", 2),
    text("medium", "交易介质", 1),
    reserved("reserved_1", 32),
    reserved("reserved_2", 98),
];

/// The fields of ZME (errors and adjustments, 差错): 22 fields, 339 bytes. There is no order id.
pub const ZME: [Field; 22] = [
    text("transaction_code", "交易代码", 3),
    text("acquirer_code", "代理机构标识码", 11),
    text("forwarder_code", "发送机构标识码", 11),
    digits("trace_number", "系统跟踪号", 6),
    digits("transmission_time", "交易传输时间", 10),
    text("account", "账号", 19),
    digits("amount", "交易金额", 12),
    text("merchant_category", "商户类别", 4),
    text("terminal_type", "终端类型", 2),
    text("card_type", "支付卡类型", 2),
    digits("previous_trace_number", "上一笔系统跟踪号", 6),
    digits("previous_time", "上一笔日期时间", 10),
    digits("previous_clearing_date", "上一笔清算日期", 4),
    digits("previous_amount", "上一笔交易金额", 12),
    sum("fee", "手续费"),
    sum("settlement_amount", "结算金额"),
    text("merchant_group", "集团商户代码", 15),
    text("merchant_id", "商户代码", 15),
    text("split_flag", "分账标识", 1),
    digits("instalment_fee", "分期付款附加手续费", 12),
    digits("instalments", "分期付款期数", 2),
    reserved("reserved", 135),
];

/// Between every two fields.
const SEPARATOR: u8 = b' ';

/// The width of a row, bytes, without its line end.
pub const fn width(fields: &[Field]) -> usize {
    let (mut i, mut sum) = (0, fields.len() - 1);
    while i < fields.len() {
        sum += fields[i].len;
        i += 1;
    }
    sum
}

/// The texts of a row, in the order of its fields, without padding; an empty one is not used.
pub type Texts = Vec<String>;

/// What is wrong, and with which field (empty: the whole row).
pub type Fault = (&'static str, FaultReason);

/// Reads a row's bytes, without the line end.
pub fn split(fields: &[Field], row: &[u8]) -> Result<Texts, Fault> {
    if row.len() != width(fields) {
        return Err(("", FaultReason::FieldCount));
    }
    let mut at = 0;
    let mut texts = Texts::with_capacity(fields.len());
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            if row[at] != SEPARATOR {
                return Err(("", FaultReason::Unreadable));
            }
            at += 1;
        }
        texts.push(decode(field, &row[at..at + field.len])?);
        at += field.len;
    }
    Ok(texts)
}

fn decode(field: &Field, bytes: &[u8]) -> Result<String, Fault> {
    let end = bytes.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
    let used = &bytes[..end];
    let text = if used.is_ascii() {
        String::from_utf8_lossy(used).into_owned()
    } else {
        let unreadable = || (field.name, FaultReason::Unreadable);
        let text = GBK.decode_without_bom_handling_and_without_replacement(used).ok_or_else(unreadable)?;
        // Some bytes have no single way back.
        if GBK.encode(&text).0 != used {
            return Err(unreadable());
        }
        text.into_owned()
    };
    if text.chars().any(char::is_control) || !has_form(field, &text) {
        return Err((field.name, FaultReason::Malformed));
    }
    Ok(text)
}

/// Whether a text without padding may stand in the field.
fn has_form(field: &Field, text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match field.content {
        _ if text.is_empty() => true,
        Content::Text | Content::Reserved => true,
        Content::Digits => text.len() == field.len && digits(text),
        Content::Sum => text.len() == field.len && text.starts_with(['C', 'D']) && digits(&text[1..]),
    }
}

/// Writes a row's bytes, without the line end.
pub fn join(fields: &[Field], texts: &[String]) -> Result<Vec<u8>, Fault> {
    if texts.len() != fields.len() {
        return Err(("", FaultReason::FieldCount));
    }
    let mut row = Vec::with_capacity(width(fields));
    for (i, (field, text)) in fields.iter().zip(texts).enumerate() {
        if i > 0 {
            row.push(SEPARATOR);
        }
        let (bytes, _, is_lossy) = GBK.encode(text);
        if is_lossy || text.ends_with(' ') || text.chars().any(char::is_control) || !has_form(field, text) {
            return Err((field.name, FaultReason::Malformed));
        }
        if bytes.len() > field.len {
            return Err((field.name, FaultReason::OutOfRange));
        }
        row.extend_from_slice(&bytes);
        row.resize(row.len() + field.len - bytes.len(), b' ');
    }
    Ok(row)
}

/// The position of a field by name. Only names of the tables are asked for.
pub fn position(fields: &[Field], name: &str) -> usize {
    fields.iter().position(|f| f.name == name).expect("a field of the table")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tables_have_the_published_widths() {
        assert_eq!((width(&ZM), width(&ZME)), (607, 339));
        for fields in [&ZM[..], &ZME[..]] {
            let names: std::collections::BTreeSet<&str> = fields.iter().map(|f| f.name).collect();
            assert_eq!(names.len(), fields.len());
        }
    }

    #[test]
    fn fields_are_cut_by_byte_and_not_by_character() {
        let mut texts = vec![String::new(); ZM.len()];
        texts[position(&ZM, "sub_merchant_name")] = "三河市燕郊颐养中心".into();
        texts[position(&ZM, "merchant_field")] = "护理费".into();
        let row = join(&ZM, &texts).unwrap();
        assert_eq!(row.len(), 607);
        assert_eq!(split(&ZM, &row).unwrap(), texts);
        texts[position(&ZM, "sub_merchant_name")] = "名".repeat(17);
        assert_eq!(join(&ZM, &texts), Err(("sub_merchant_name", FaultReason::OutOfRange)));
        texts[position(&ZM, "sub_merchant_name")] = "😀".into();
        assert_eq!(join(&ZM, &texts), Err(("sub_merchant_name", FaultReason::Malformed)));
    }

    #[test]
    fn bytes_that_mean_nothing_or_not_one_thing_are_set_aside() {
        let texts = vec![String::new(); ZME.len()];
        let good = join(&ZME, &texts).unwrap();
        let spoilt = |at: usize, bytes: &[u8]| {
            let mut row = good.clone();
            row[at..at + bytes.len()].copy_from_slice(bytes);
            split(&ZME, &row).unwrap_err()
        };
        use FaultReason::{FieldCount, Malformed, Unreadable};
        // Inside 账号, which begins at byte 46.
        for (at, bytes, fault) in [
            (3, &b"|"[..], ("", Unreadable)),
            (46, b"\0", ("account", Malformed)),
            (46, b"\xff\xff", ("account", Unreadable)),
            // Half a character at the field's end.
            (64, b"\xc1", ("account", Unreadable)),
            // GB 18030's four bytes are not GBK's.
            (46, b"\x81\x30\x81\x30", ("account", Unreadable)),
            (28, b"12345 ", ("trace_number", Malformed)),
            (28, b" 12345", ("trace_number", Malformed)),
        ] {
            assert_eq!(spoilt(at, bytes), fault, "{bytes:?} at {at}");
        }
        assert_eq!(split(&ZME, &good[1..]), Err(("", FieldCount)));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(name in "[一-龥A-Za-z0-9]{0,16}", amount in 0i64..1_000_000_000_000, sign in "[CD]") {
            let mut texts = vec![String::new(); ZM.len()];
            texts[position(&ZM, "sub_merchant_name")] = name;
            texts[position(&ZM, "amount")] = format!("{amount:012}");
            texts[position(&ZM, "fee")] = format!("{sign}{amount:012}");
            let row = join(&ZM, &texts).unwrap();
            prop_assert_eq!(split(&ZM, &row).unwrap(), texts);
        }

        #[test]
        fn whatever_is_accepted_writes_back(row in proptest::collection::vec(any::<u8>(), 339)) {
            if let Ok(texts) = split(&ZME, &row) {
                prop_assert_eq!(join(&ZME, &texts).unwrap(), row);
            }
        }
    }
}
