"""The administrators' morning: run, differences and findings, two people each, signatures, report."""

import csv
import decimal
import hashlib
import io
import json

import merkle
import openpyxl
from jjj_client import text

from .cast import BANK, UNIONPAY, told

RUN, PROPOSE, DECIDE = (f"ReconciliationService/{m}" for m in ("StartRun", "ProposeResolution", "DecideResolution"))
# What the file and the day have planted, and how each is resolved.
RESOLUTIONS = {
    "DUPLICATE": "REPAY", "CHANNEL_ONLY": "REPAY", "AMOUNT_MISMATCH": "RELEASE", "FEE_MISMATCH": "INSTITUTION_BEARS",
    "LATE_CONFIRMATION": "ACCEPT", "CONDITION_UNMET": "JUSTIFIED", "OVERSPENT": "JUSTIFIED", "CREDIT_FAILED": "JUSTIFIED",
    # Reversed after its confirmation: refused, and kept.
    "CONTRADICTION": "JUSTIFIED",
}


def too_early(day):
    """In the evening nothing can be reconciled yet."""
    day.chen.refused("FIELD_OUT_OF_RANGE", RUN, channel=UNIONPAY, clearing_date=day.today)


def without_file(day):
    day.chen.refused("FILE_MISSING", RUN, channel=UNIONPAY, clearing_date=day.today)


def play(day):
    statement = day.wang.call(RUN, channel=BANK, clearing_date=day.today).run
    assert text(statement, "state") == "BALANCED", statement
    first = day.chen.call(RUN, channel=UNIONPAY, clearing_date=day.today).run
    assert text(first, "state") == "WITH_BREAKS" and all(i.holds for i in first.identities), first
    breaks = {text(b, "break_class"): b for b in day.chen.list("ReconciliationService/ListBreaks", filter='state != "RESOLVED"')}
    assert set(breaks) == set(RESOLUTIONS), set(breaks) ^ set(RESOLUTIONS)
    told("found", ", ".join(sorted(breaks)))
    next_months_credit(day)
    resolve(day, breaks)

    last = day.chen.call(RUN, channel=UNIONPAY, clearing_date=day.today).run
    assert (last.breaks_open, last.breaks_opened) == (0, 0), last
    assert day.hebei.call("ReconciliationService/GetRun", name=last.name) == last
    runs = day.beijing.list("ReconciliationService/ListRuns", filter=f'channel = "{UNIONPAY}"')
    assert [r.name for r in runs] == [last.name, first.name], runs
    sign(day, last)
    standing(day, last)
    report(day, last)


def next_months_credit(day):
    """What was overspent is covered by next month's money: only then may that finding be closed."""
    grant = day.beijing.call("EntitlementService/GrantEntitlement", **day.grant(day.elders["overspends"], day.next_month)).grant
    credited = {"grant": grant.name, "outcome": "CREDIT_OUTCOME_CREDITED", "amount_fen": grant.amount_fen}
    day.unionpay.call("EntitlementService/ReportCredit", **credited)


def proposal(found):
    resolution = RESOLUTIONS[text(found, "break_class")]
    return {"reconciliation_break": found.name, "resolution": f"RESOLUTION_{resolution}", "reason": "核对渠道凭证"}


def decision(proposed, approve=True):
    return {
        "reconciliation_break": proposed.name, "expected_version": proposed.version, "approve": approve, "reason": "复核",
    }


def resolve(day, breaks):
    """Chen proposes, Liu approves. One proposal is declined first and made anew."""
    hers = breaks.pop("AMOUNT_MISMATCH")
    assigned = day.liu.call("ReconciliationService/AssignBreak", reconciliation_break=hers.name, assignee=day.chen.actor)
    assert assigned.reconciliation_break.assignee == day.chen.actor
    work(day, hers)
    wrong = {**proposal(hers), "resolution": "RESOLUTION_CORRECT_RECORD"}
    day.chen.refused("RESOLUTION_NOT_ALLOWED", PROPOSE, **wrong)
    day.chen.call(PROPOSE, **proposal(hers))
    withdrawn = day.chen.call("ReconciliationService/WithdrawProposal", reconciliation_break=hers.name, reason="再核对")
    assert text(withdrawn.reconciliation_break, "state") == "ASSIGNED", withdrawn
    proposed = day.chen.call(PROPOSE, **proposal(hers)).reconciliation_break
    day.chen.refused("SAME_PERSON", DECIDE, **decision(proposed))
    day.liu.call(DECIDE, **decision(proposed, approve=False))
    proposed = day.chen.call(PROPOSE, **proposal(hers)).reconciliation_break
    resolved = day.liu.call(DECIDE, **decision(proposed)).reconciliation_break
    assert text(resolved, "state") == "RESOLVED" and len(resolved.entries) >= 1, resolved
    assert day.sun.call("ReconciliationService/GetBreak", name=hers.name) == resolved
    versions = day.sun.list("ReconciliationService/ListBreakVersions", name=hers.name)
    assert [text(v, "state") for v in versions][:2] == ["RESOLVED", "PROPOSED"], versions

    proposals = [proposal(found) for found in breaks.values()]
    answers = day.chen.batch_all("ReconciliationService/BatchProposeResolutions", PROPOSE, proposals)
    decisions = [decision(answer.reconciliation_break) for answer in answers]
    own = day.chen.batch("ReconciliationService/BatchDecideResolutions", DECIDE, decisions)
    assert {refused.reason for refused in own} == {"SAME_PERSON"}, own
    day.liu.batch_all("ReconciliationService/BatchDecideResolutions", DECIDE, decisions)
    assert not day.chen.list("ReconciliationService/ListBreaks", filter='state != "RESOLVED"')
    told("resolved", len(decisions) + 1)


def work(day, hers):
    """Says something about a break, attaches a document to it and reads it back."""
    said = day.chen.call("ReconciliationService/CommentBreak", reconciliation_break=hers.name, text="渠道来电：金额有误")
    assert said.reconciliation_break.note == "渠道来电：金额有误", said
    content = b"%PDF-1.7 the channel's letter"
    file = document(day, day.chen, content)
    attached = day.chen.call(
        "ReconciliationService/AttachEvidence", reconciliation_break=hers.name, file=file.name, note="渠道回函"
    ).reconciliation_break
    assert [a.sha256 for a in attached.attachments] == [file.sha256], attached
    read = lambda chunk: day.liu.call(
        "ReconciliationService/ReadAttachment", reconciliation_break=hers.name, file=file.name, chunk=chunk
    ).data
    assert (read(0), read(1)) == (content, b"")


def document(day, client, content):
    begun = client.call(
        "ChannelService/BeginUpload",
        clearing_date=day.today, format="FILE_FORMAT_OTHER", content="FILE_CONTENT_EVIDENCE",
        file_name="letter.pdf", size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(),
    ).file
    client.call("ChannelService/UploadChunk", file=begun.name, offset=0, data=content)
    return client.call("ChannelService/CompleteUpload", file=begun.name).file


def view_of(client, name):
    """A view with all of its rows, read page by page."""
    rows, page_token = [], ""
    while True:
        view = client.call("ReconciliationService/GetView", name=name, page_size=3, page_token=page_token)
        rows.extend(view.page_rows)
        page_token = view.next_page_token
        if not page_token:
            return view, rows


def sign(day, run):
    """Each region's signer, who neither ran nor resolved, computes the view's root from its rows and signs it."""
    by_region = {"110000": day.sun, "130000": day.guo}
    assert {f"{run.name}/views/{region}" for region in by_region} <= set(run.views), run.views
    for region, signer in by_region.items():
        view, rows = view_of(signer, f"{run.name}/views/{region}")
        root = merkle.root([row.body.encode() for row in rows])
        assert len(rows) == view.rows > 0 and root == view.root_hash, (len(rows), view)
        day.chen.refused("SAME_PERSON" if region == "110000" else "NOT_YOUR_RECORD", "ReconciliationService/SignView", view=view.name, root_hash=root)
        signer.refused("ROOT_MISMATCH", "ReconciliationService/SignView", view=view.name, root_hash=bytes(32))
        signed = signer.call("ReconciliationService/SignView", view=view.name, root_hash=root).view
        assert text(signed, "state") == "AGREED" and signed.signed_by == signer.actor, signed
    told("signed", run.name)


def standing(day, run):
    """How the date stands, with its signatures; and no flood."""
    days = day.hebei.call("ReconciliationService/ListClearingDays", channel=UNIONPAY).days
    stands = {d.clearing_date: d for d in days}[day.today]
    signed = {s.participant: text(s, "state") for s in stands.signatures}
    assert (stands.run, stands.breaks_open) == (run.name, 0), stands
    assert (signed["regions/110000"], signed["regions/130000"]) == ("AGREED", "AGREED"), signed
    assert not day.sun.list("ReconciliationService/ListAlerts")


def report(day, run):
    ask = lambda client, kind, form, **of: client.call(
        "ReportService/GetReport", kind=f"REPORT_KIND_{kind}", format=f"REPORT_FORMAT_{form}",
        language="REPORT_LANGUAGE_ZH", **of,
    )
    of_run = lambda form: ask(day.hebei, "RUN", form, run=run.name).content.decode("utf-8-sig")
    told_of = json.loads(of_run("JSON"))
    assert len(list(csv.reader(of_run("CSV").splitlines()))) == len(told_of["tables"]["breaks"]["rows"]) + 1 > 1
    assert day.today in of_run("TEXT") and "<svg" in of_run("HTML")
    workbook(day, ask)


def workbook(day, ask):
    """Another tool reads the workbook as the JSON says: amounts to the fen, dates as dates, headers that stay."""
    for kind, of in (("BREAKS", {"from_date": day.today}), ("MONTH", {"month": day.month}), ("TRIAL_BALANCE", {"book": "110000/care_subsidy"}),
                     ("VOUCHERS", {"book": "110000/care_subsidy", "month": day.month})):
        told_of = json.loads(ask(day.chen, kind, "JSON", **of).content)
        made = ask(day.chen, kind, "XLSX", **of)
        assert made.file_name.endswith(".xlsx"), made.file_name
        book = openpyxl.load_workbook(io.BytesIO(made.content))
        assert len(book.sheetnames) == 1 + len(told_of["tables"]), book.sheetnames
        seen = 0
        for table in told_of["tables"].values():
            sheet = book[table["title"]]
            assert sheet.freeze_panes == "A2" and sheet["A1"].font.name == "Microsoft YaHei", sheet.title
            rows = list(sheet.iter_rows(min_row=2, max_row=1 + len(table["rows"]), max_col=len(table["columns"])))
            for cells, row in zip(rows, table["rows"]):
                for cell, column in zip(cells, table["columns"]):
                    value = row[column["id"]]
                    assert cell.data_type != "f", "a formula"
                    if value is None:
                        assert cell.value is None, cell
                        continue
                    if column["id"].endswith("_fen"):
                        assert decimal.Decimal(str(cell.value)) * 100 == value and "0.00" in cell.number_format, (cell, value)
                        seen += 1
                    elif column["id"].endswith(("_date", "_on")):
                        assert cell.value.date().isoformat() == value and cell.number_format == "yyyy-mm-dd", cell
        assert seen > 0, kind
        again = io.BytesIO()
        book.save(again)
        assert openpyxl.load_workbook(again).sheetnames == book.sheetnames
    told("workbooks", "read")
