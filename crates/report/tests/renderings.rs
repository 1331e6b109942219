//! One report in every rendering, read as its users would.

use jjj_domain::close::{CloseRow, CloseState, Voucher, VoucherLine};
use jjj_domain::ledger::EntryKind;
use jjj_domain::recon::report::Language;
use jjj_domain::recon::summary::{BreakSums, FunderSums, GrantSums, InstitutionSums, MonthSums, PaymentSums};
use jjj_domain::settlement::{FunderShare, StatementRow, StatementState};
use jjj_domain::time::{Date, Timestamp};
use jjj_domain::value::Json;
use jjj_report::build::{self, Frame};
use jjj_report::{Cell, Column, Report, Table, render};

fn frame(language: Language) -> Frame {
    Frame { language, today: "2026-12-01".parse().unwrap(), ledger_number: 1_234_567 }
}

fn sums() -> MonthSums {
    let (region, programme) = (|| "regions/110000".to_owned(), || "care_subsidy".to_owned());
    let funder = |division: &str, elders, granted_fen| FunderSums {
        region: region(),
        programme: programme(),
        funder_division: division.into(),
        elders,
        granted_fen,
        credited_fen: granted_fen - 60_000,
        clawed_back_fen: 0,
    };
    let institution = |uscc: &str, name: &str, payments, paid_fen| InstitutionSums {
        institution: format!("institutions/{uscc}"),
        display_name: name.into(),
        region: "regions/130000".into(),
        payers: payments,
        payments,
        paid_fen,
        refunded_fen: 12_345,
        matched_fen: paid_fen,
        settled_fen: paid_fen - 12_345,
    };
    MonthSums {
        grants: vec![GrantSums {
            region: region(),
            programme: programme(),
            elders: 1_503,
            granted_fen: 74_000_000,
            credited_fen: 73_880_000,
            clawed_back_fen: 60_000,
        }],
        payments: vec![PaymentSums {
            region: region(),
            programme: programme(),
            payers: 1_290,
            payments: 2_011,
            paid_fen: 66_123_405,
            refunded_fen: 24_690,
            matched_fen: 66_000_000,
        }],
        breaks: vec![BreakSums { region: region(), programme: programme(), open: 3, open_fen: 123_405, resolved: 41 }],
        funders: vec![funder("110105", 803, 41_000_000), funder("110108", 700, 33_000_000)],
        institutions: vec![
            institution("91131082MA00000001", "=HYPERLINK(\"http://x\") 颐养院", 1_100, 40_000_001),
            institution("91131082MA00000002", "三河康宁院 <b>&", 911, 26_123_404),
        ],
    }
}

fn report(language: Language) -> Report {
    build::month("2026-11".parse().unwrap(), "regions/110000", &sums(), frame(language))
}

#[test]
fn as_text() {
    insta::assert_snapshot!("month_zh.txt", render::text(&report(Language::Zh)));
    insta::assert_snapshot!("month_en.txt", render::text(&report(Language::En)));
}

#[test]
fn as_json() {
    let json = render::json(&report(Language::En));
    insta::assert_snapshot!("month.json", serde_json::to_string_pretty(&json).unwrap());
    let zh = render::json(&report(Language::Zh));
    assert_eq!(zh["tables"]["programmes"]["rows"][0]["paid_fen"], json["tables"]["programmes"]["rows"][0]["paid_fen"]);
}

#[test]
fn as_csv() {
    let bytes = render::csv(&report(Language::Zh));
    insta::assert_snapshot!("month.csv", String::from_utf8(bytes).unwrap());
    let mut report = report(Language::Zh);
    report.tables.swap(0, 2);
    let bytes = render::csv(&report);
    let mut rows = csv::Reader::from_reader(&bytes[3..]);
    let first = rows.records().next().unwrap().unwrap();
    assert_eq!(&first[0], "'=HYPERLINK(\"http://x\") 颐养院", "no formula");
}

#[test]
fn as_a_page() {
    insta::assert_snapshot!("month_zh.html", render::html(&report(Language::Zh)));
    for language in [Language::Zh, Language::En] {
        let page = render::html(&report(language));
        // Nothing is fetched, nothing runs, nothing of a name becomes markup.
        for foreign in ["<script", "src=", "href=", "url(", "@import", "<link", "<b>&", "onload"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("&lt;b&gt;&amp;"), "{page}");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.matches("<svg").count() == 2, "two charts");
    }
}

#[test]
fn as_a_workbook() {
    let bytes = render::xlsx(&report(Language::Zh));
    assert_eq!(bytes, render::xlsx(&report(Language::Zh)), "the same report gives the same bytes");
    assert!(bytes.starts_with(b"PK"));
}

#[test]
fn sums_of_more_than_an_i64_are_left_out() {
    let mut table = Table::new("t", "t", vec![Column::text("a", "a"), Column::fen("b_fen", "b").summed()]);
    table.rows = vec![vec![Cell::text("x"), Cell::Fen(i64::MAX)], vec![Cell::text("y"), Cell::Fen(1)]];
    assert_eq!(table.total(), Some(vec![Cell::Empty, Cell::Empty]));
    table.rows[1][1] = Cell::Fen(-7);
    assert_eq!(table.total(), Some(vec![Cell::Empty, Cell::Fen(i64::MAX - 7)]));
    let table = table.at_most(1);
    assert_eq!((table.rows.len(), table.omitted), (1, 1));
}

#[test]
fn an_empty_month_is_a_report_too() {
    let empty = build::month("2026-11".parse().unwrap(), "x", &MonthSums::default(), frame(Language::Zh));
    assert!(render::text(&empty).contains("按机构 (0)"));
    assert!(render::html(&empty).contains("无"));
    assert!(!render::xlsx(&empty).is_empty());
}

fn statement(
    institution: Option<&str>,
    clearing_date: &str,
    gross_fen: i64,
    fees_fen: i64,
    open: bool,
) -> StatementRow {
    let payee = institution.map_or("fee", |name| name.trim_start_matches("institutions/"));
    let net_fen = if institution.is_some() { gross_fen - fees_fen } else { gross_fen };
    StatementRow {
        statement: format!(
            "settlementStatements/unionpay-{}-110000-care_subsidy-{payee}",
            clearing_date.replace('-', "")
        ),
        channel: "channels/unionpay".parse().unwrap(),
        region: "regions/110000".parse().unwrap(),
        programme: "care_subsidy".into(),
        account: "110000/care_subsidy:payable:A:unionpay".parse().unwrap(),
        institution: institution.map(str::to_owned),
        institution_region: None,
        from_date: clearing_date.parse().unwrap(),
        clearing_date: clearing_date.parse().unwrap(),
        gross_fen,
        refunds_fen: 0,
        fees_fen,
        adjustments_fen: 0,
        brought_forward_fen: 0,
        withheld_fen: 0,
        net_fen,
        funders: Json(match institution {
            Some(_) => {
                vec![FunderShare { division: "110108".into(), payments: 2, gross_fen, refunds: 0, refunds_fen: 0 }]
            }
            None => vec![],
        }),
        settlement_account: None,
        account_last4: "0017".into(),
        end_to_end_id: "e2e".into(),
        due_on: clearing_date.parse::<Date>().unwrap().plus_days(1),
        state: if open { StatementState::Open } else { StatementState::Settled },
        paid_fen: if open { 0 } else { net_fen },
        payout: (!open).then(|| "payouts/1".to_owned()),
        recorded_at_us: Timestamp(0),
        version: 1,
    }
}

#[test]
fn settlement_statements() {
    let (a, b) = ("institutions/91131082MA00000001", "institutions/91131082MA00000002");
    let rows = [
        statement(Some(a), "2026-11-18", 60_000, 120, false),
        statement(Some(b), "2026-11-18", 30_000, 60, true),
        statement(None, "2026-11-18", 180, 0, false),
        statement(Some(a), "2026-11-19", 10_000, 20, true),
    ];
    let names = [(a.to_owned(), "颐养院".to_owned())].into();
    let report = |language| build::settlement(&rows, &names, "channels/unionpay", frame(language));
    insta::assert_snapshot!("settlement_zh.txt", render::text(&report(Language::Zh)));
    insta::assert_snapshot!("settlement_en.txt", render::text(&report(Language::En)));
    let json = render::json(&report(Language::En));
    assert_eq!(json["facts"]["open_fen"], 30_000 - 60 + 10_000 - 20);
    assert_eq!(json["tables"]["cycles"]["rows"].as_array().unwrap().len(), 2);
    let of_a = &json["tables"]["institutions"]["rows"][0];
    assert_eq!(
        (&of_a["display_name"], &of_a["statements"], &of_a["gross_fen"]),
        (&"颐养院".into(), &2.into(), &70_000.into())
    );
    assert_eq!(json["tables"]["funders"]["rows"][0]["gross_fen"], 100_000);
    for language in [Language::Zh, Language::En] {
        assert!(render::html(&report(language)).contains("颐养院"));
        assert!(render::xlsx(&report(language)).starts_with(b"PK"));
    }
}

#[test]
fn vouchers_of_a_month() {
    let line = |code: &str, zh: &str, en: &str, debit_fen, credit_fen| VoucherLine {
        account_code: code.into(),
        account_zh: zh.into(),
        account_en: en.into(),
        detail: "unionpay".into(),
        debit_fen,
        credit_fen,
    };
    let vouchers = [Voucher {
        number: 1,
        date: "2026-11-30".parse().unwrap(),
        entry: EntryKind::ChannelFunded,
        summary_zh: "拨付渠道备付金".into(),
        summary_en: "channel funded".into(),
        lines: vec![
            line("1021", "其他货币资金", "Prefund", 1_234_567, 0),
            line("1002", "银行存款", "Bank", 0, 1_234_567),
        ],
        attachments: 3,
    }];
    let (book, month) = ("110000/care_subsidy".parse().unwrap(), "2026-11".parse().unwrap());
    let close = CloseRow {
        book,
        month,
        region: "regions/110000".parse().unwrap(),
        state: CloseState::Closed,
        trial: Json(vec![]),
        transfers: 3,
        placed_fen: Json(Default::default()),
        proposed_by: "regions/110000/admins/chen".parse().unwrap(),
        proposal_reason: "月结".into(),
        decided_by: Some("regions/110000/admins/liu".parse().unwrap()),
        decision_reason: None,
        recorded_at_us: Timestamp(0),
        version: 2,
    };
    let report = |language, close| {
        render::text(&build::vouchers(
            &"110000/care_subsidy".parse().unwrap(),
            month,
            &vouchers,
            close,
            frame(language),
        ))
    };
    insta::assert_snapshot!("vouchers_zh.txt", report(Language::Zh, Some(&close)));
    insta::assert_snapshot!("vouchers_en.txt", report(Language::En, Some(&close)));
    assert!(report(Language::Zh, None).contains("未月结，非最终"));
}
