"""After the morning: what institutions are owed is stated and paid, and a month is closed by two people."""

from jjj_client import text

from .bank import bank_file
from .cast import HEBEI, UNIONPAY, told
from .settlement import upload

BOOK = "110000/care_subsidy"
PAY = "SettlementService/ReportPayout"


def play(day):
    settle(day)
    bank_statement(day)
    close(day)


def settle(day):
    day.unionpay.refused("ROLE_NOT_ALLOWED", "SettlementService/PrepareSettlement", channel=UNIONPAY, clearing_date=day.today)
    # One is paid before it is stated: matched once it is.
    owed = day.liu.list("LedgerService/ListAccounts", filter=f'book = "{BOOK}" AND kind = "payable"')
    owed_fen = max(account.posted_fen for account in owed)
    early = day.unionpay.call(PAY, **payout(day, "PAYOUT-EARLY", owed_fen)).payout
    assert text(early, "state") == "UNMATCHED", early
    cycle = day.chen.call("SettlementService/PrepareSettlement", channel=UNIONPAY, clearing_date=day.today).cycle
    assert (cycle.clearing_date, cycle.version) == (day.today, 1), cycle
    early = day.chen.call("SettlementService/MatchPayout", payout=early.name).payout
    assert (text(early, "state"), text(early, "rule")) == ("MATCHED", "AMOUNT"), early
    statements = day.unionpay.list("SettlementService/ListSettlementStatements", filter='state = "OPEN"')
    payees = {s.institution: s for s in statements}
    assert payees and all(s.net_fen > 0 and s.end_to_end_id for s in statements), statements
    for s in statements:
        assert s.net_fen == s.gross_fen - s.refunds_fen - s.fees_fen + s.adjustments_fen + s.brought_forward_fen - s.withheld_fen, s
    funded = sum(share.gross_fen for s in statements for share in s.funders)
    assert funded > 0, statements
    institutions = [s for s in statements if s.institution]
    assert all(s.institution_region == HEBEI for s in institutions), institutions
    known = day.hebei.call("SettlementService/GetSettlementStatement", name=institutions[0].name)
    assert known == institutions[0]

    # Paid by its end-to-end id; the others in bulk; and one that nobody knows of.
    first = institutions[0]
    paid = day.unionpay.call(PAY, **payout(day, "PAYOUT-1", first.net_fen, first.end_to_end_id)).payout
    assert text(paid, "state") == "MATCHED" and list(paid.statements) == [first.name], paid
    others = [s for s in statements if s.name != first.name]
    reports = [payout(day, f"PAYOUT-{n}", s.net_fen, s.end_to_end_id) for n, s in enumerate(others, start=2)]
    stray = payout(day, "PAYOUT-STRAY", 777)
    answers = day.unionpay.batch_all("SettlementService/BatchReportPayouts", PAY, [*reports, stray])
    assert [text(a.payout, "state") for a in answers] == ["MATCHED"] * len(reports) + ["UNMATCHED"], answers
    day.unionpay.refused("RECORD_EXISTS", PAY, **payout(day, "PAYOUT-1", 1))
    stray = answers[-1].payout
    found = day.li.call("ReconciliationService/GetBreak", name=stray.reconciliation_break)
    assert text(found, "break_class") == "PAYOUT_MISMATCH" and found.amount_fen == 777, found
    day.chen.refused("STATE_NOT_ALLOWED", "SettlementService/MatchPayout", payout=stray.name)
    listed = day.unionpay.list("SettlementService/ListPayouts", filter='state = "MATCHED"')
    assert len(listed) == 1 + len(statements), listed
    assert not day.unionpay.list("SettlementService/ListSettlementStatements", filter='state = "OPEN"')
    told("settled", len(statements), "statements")


def payout(day, reference, amount_fen, end_to_end_id=""):
    return {"reference": reference, "amount_fen": amount_fen, "paid_on": day.tomorrow, "end_to_end_id": end_to_end_id}


def bank_statement(day):
    """The channel's bank tells of what left its account; who delivers the file reads it again."""
    content = bank_file("11001018400000001234", day.today, "7000.00", [("E2EPYTHON01", "1234.56"), ("E2EPYTHON02", "0.44")])
    file = upload(day, day.unionpay, content, "STATEMENT", "CAMT_053")
    (stated,) = day.unionpay.list("ChannelService/ListBankStatements", filter=f'file = "{file.name}"')
    assert (stated.opening_fen, stated.closing_fen, stated.debit_fen) == (700_000, 576_500, 123_500), stated
    assert text(stated, "file_state") == "RECEIVED" and stated.entries == 2, stated
    whole = day.unionpay.call("ChannelService/GetBankStatement", name=stated.name, filter='amount_fen > "1000"')
    (entry,) = whole.page_entries
    assert (entry.end_to_end_id, entry.amount_fen, text(entry, "direction")) == ("E2EPYTHON01", 123_456, "DEBIT"), entry
    day.beijing.refused("RECORD_NOT_FOUND", "ChannelService/GetBankStatement", name=stated.name)
    told("read again", stated.name)


def close(day):
    """Last month is over; this one is not."""
    month = {"book": BOOK, "month": day.last_month, "reason": "月结"}
    day.chen.refused("CLOSE_CONDITION_UNMET", "MonthCloseService/ProposeClose", **{**month, "month": day.month})
    proposed = day.chen.call("MonthCloseService/ProposeClose", **month).month_close
    decide = {"month_close": proposed.name, "approve": True, "reason": "复核"}
    day.chen.refused("SAME_PERSON", "MonthCloseService/DecideClose", **decide)
    closed = day.liu.call("MonthCloseService/DecideClose", **decide).month_close
    assert text(closed, "state") == "CLOSED" and closed.decided_by == day.liu.actor, closed
    assert day.beijing.list("MonthCloseService/ListCloses", filter='state = "CLOSED"') == [closed]
    book = day.liu.call("MonthCloseService/ListVouchers", book=BOOK, month=day.month)
    assert book.vouchers and not book.closed and book.debit_fen == book.credit_fen > 0, book
    for voucher in book.vouchers:
        assert sum(line.debit_fen - line.credit_fen for line in voucher.lines) == 0, voucher
    trial = day.beijing.call("LedgerService/GetTrialBalance", book=BOOK, booking_month=day.month)
    assert trial.accounts and sum(a.closing_fen for a in trial.accounts) == 0, trial
    told("closed", closed.name, "with", len(book.vouchers), "vouchers this month so far")
