//! What is written reads back equal, whatever it says.

use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::FileFormat;
use jjj_domain::recon::bank::{Balance, BankEntry, BankStatement, EntryDirection, EntryStatus};
use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::{Date, Timestamp};
use jjj_formats::camt::{self, Message, Statement};
use jjj_formats::unionpay::{self, Kind};
use jjj_formats::{Context, Earlier, Record, csv, rows};
use proptest::prelude::*;

fn read(format: FileFormat, clearing_date: Date, bytes: &[u8]) -> Vec<Record> {
    let context = Context { clearing_date, codes: TransactionCodes::default() };
    rows(format, bytes, context).map(|row| row.unwrap().unwrap()).collect()
}

fn date() -> impl Strategy<Value = Date> {
    (0i64..20_000).prop_map(|days| "1990-01-01".parse::<Date>().unwrap().plus_days(days))
}

prop_compose! {
    /// A payment or refund of the clearing date: from 23:00 of the day before on, or late.
    fn line()(
        is_refund in any::<bool>(),
        merchant in "[A-Z0-9]{1,15}",
        order in "[A-Za-z0-9]{8,32}",
        second in -86_400i64..86_400,
        amount_fen in 0i64..100_000_000_000,
        fee_fen in 0i64..1_000_000,
    ) -> (SettlementLine, i64) {
        let line = SettlementLine {
            line: 1,
            byte_offset: 0,
            kind: if is_refund { LineKind::Refund } else { LineKind::Payment },
            merchant_id: merchant,
            order_id: order,
            transaction_time: Timestamp(0),
            amount_fen,
            // What is settled of a purchase is not less than nothing.
            fee_fen: if is_refund { fee_fen } else { fee_fen.min(amount_fen) },
            status: LineStatus::Success,
            institution: String::new(),
            original_order_id: None,
        };
        (line, second)
    }
}

fn account() -> impl Strategy<Value = String> {
    "[A-Z0-9]{1,34}"
}

prop_compose! {
    fn part()(
        amount_fen in 0i64..1_000_000_000,
        end_to_end_id in "([A-Z0-9&<>'\" 付款]{0,16}[A-Z])?",
        bank_reference in "[A-Z0-9]{0,35}",
        counterparty in prop_oneof![Just(String::new()), Just("52131082XXXX00043X".to_owned())],
        counterparty_account in prop_oneof![Just(String::new()), account()],
    ) -> BankEntry {
        BankEntry {
            entry: 0,
            part: 0,
            statement: 0,
            direction: EntryDirection::Credit,
            amount_fen,
            entry_fen: 0,
            entry_status: EntryStatus::Booked,
            is_reversal: false,
            booked_on: None,
            value_on: None,
            end_to_end_id: end_to_end_id.trim().to_owned(),
            bank_reference,
            counterparty,
            counterparty_account,
        }
    }
}

prop_compose! {
    fn entry()(
        parts in prop::collection::vec(part(), 1..5),
        has_parts in any::<bool>(),
        is_credit in any::<bool>(),
        entry_status in prop::sample::select(EntryStatus::ALL.to_vec()),
        is_reversal in any::<bool>(),
        booked_on in prop::option::of(date()),
        value_on in prop::option::of(date()),
    ) -> Vec<BankEntry> {
        let direction = if is_credit { EntryDirection::Credit } else { EntryDirection::Debit };
        let parts = if has_parts { parts } else { parts[..1].to_vec() };
        let total: i64 = parts.iter().map(|part| part.amount_fen).sum();
        let of = |(n, part): (i64, BankEntry)| BankEntry {
            part: n,
            direction,
            entry_fen: direction.signed(total),
            entry_status,
            is_reversal,
            booked_on,
            value_on,
            ..part
        };
        let mut parts: Vec<BankEntry> = (1..).zip(parts).map(of).collect();
        if !has_parts {
            // Without transactions an entry names nobody.
            let only = &mut parts[0];
            only.part = 0;
            only.end_to_end_id.clear();
            only.counterparty.clear();
            only.counterparty_account.clear();
        }
        parts
    }
}

prop_compose! {
    fn statement()(
        entries in prop::collection::vec(entry(), 0..6),
        reference in "[A-Z0-9付]{1,35}",
        account in account(),
        opening_fen in -1_000_000_000i64..1_000_000_000,
        on in date(),
        is_notice in any::<bool>(),
    ) -> (bool, Statement) {
        let mut entries: Vec<Vec<BankEntry>> = entries;
        for (n, parts) in (1..).zip(&mut entries) {
            parts.iter_mut().for_each(|part| part.entry = n);
        }
        let booked = |way: EntryDirection| -> i64 {
            let of = entries.iter().map(|parts| &parts[0]);
            of.filter(|e| e.entry_status == EntryStatus::Booked && e.direction == way).map(|e| e.entry_fen.abs()).sum()
        };
        let (credit_fen, debit_fen) = (booked(EntryDirection::Credit), booked(EntryDirection::Debit));
        let balance = |amount_fen| (!is_notice).then_some(Balance { on, amount_fen });
        let statement = BankStatement {
            reference,
            account,
            opening: balance(opening_fen),
            closing: balance(opening_fen + credit_fen - debit_fen),
            credit_fen,
            debit_fen,
            entries: entries.len() as i64,
        };
        (is_notice, Statement { statement, entries: entries.concat() })
    }
}

proptest! {
    #[test]
    fn zm_and_zme((line, second) in line(), on in date(), back in 0i64..300, trace in "[0-9]{6}") {
        let line = SettlementLine { transaction_time: on.starts_at().plus_us(second * 1_000_000), ..line };
        let earlier = Earlier {
            trace_number: trace,
            time: on.plus_days(-back).starts_at(),
            clearing_date: on.plus_days(-back),
            amount_fen: Some(line.amount_fen),
        };
        let mut bytes = Vec::new();
        let texts = unionpay::zm_row(&line, Some(&earlier), &TransactionCodes::default());
        unionpay::write(Kind::Zm, [texts], &mut bytes).unwrap();
        match &read(FileFormat::UnionpayZm, on, &bytes)[..] {
            [Record::Numbered(found, number)] => {
                prop_assert_eq!((found, number), (&line, &unionpay::trace_of(&line.order_id)));
            }
            [Record::Traced(found)] => {
                let original_order_id = Some(found.earlier.key());
                prop_assert_eq!(&found.line, &SettlementLine { original_order_id, ..line.clone() });
                prop_assert_eq!((&found.earlier.trace_number, found.earlier.time), (&earlier.trace_number, earlier.time));
            }
            other => prop_assert!(false, "{other:?}"),
        }
        let mut bytes = Vec::new();
        unionpay::write(Kind::Zme, [unionpay::zme_row(&line, &earlier)], &mut bytes).unwrap();
        let [Record::Traced(found)] = &read(FileFormat::UnionpayZme, on, &bytes)[..] else { panic!("one row") };
        prop_assert_eq!((&found.earlier, found.line.amount_fen, found.line.fee_fen), (&earlier, line.amount_fen, line.fee_fen));
        prop_assert_eq!(found.line.kind, line.kind);
    }

    #[test]
    fn csv_files(lines in prop::collection::vec(line(), 0..20), on in date()) {
        let lines: Vec<SettlementLine> = lines.into_iter().map(|(line, second)| SettlementLine {
            institution: "52131082XXXX00043X".into(),
            transaction_time: on.starts_at().plus_us(second * 1_000_000),
            original_order_id: (line.kind == LineKind::Refund).then(|| "ORDER00001".to_owned()),
            ..line
        }).collect();
        let mut bytes = Vec::new();
        csv::write(&lines, &mut bytes).unwrap();
        let records = read(FileFormat::Csv, on, &bytes);
        let found: Vec<SettlementLine> = records.into_iter().filter_map(|record| match record {
            Record::Line(line) => Some(SettlementLine { line: 1, byte_offset: 0, ..line }),
            _ => None,
        }).collect();
        prop_assert_eq!(found, lines);
    }

    #[test]
    fn statements_and_notices((is_notice, written) in statement()) {
        let (message, format) = match is_notice {
            true => (Message::Notification, FileFormat::Camt054),
            false => (Message::Statement, FileFormat::Camt053),
        };
        let mut bytes = Vec::new();
        camt::write(message, "MSG1", Timestamp(0), std::slice::from_ref(&written), &mut bytes).unwrap();
        let mut expected: Vec<Record> = written.entries.into_iter().map(Record::Entry).collect();
        expected.push(Record::Statement(written.statement));
        prop_assert_eq!(read(format, "2026-11-18".parse().unwrap(), &bytes), expected);
    }
}
