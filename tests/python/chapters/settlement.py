"""The next morning: the channels deliver their files, in the CSV that settlement_file.proto describes."""

import csv
import datetime
import hashlib
import io

from jjj_client import text

from .cast import MERCHANT, SHANGHAI, told

HEADER = [
    "kind", "merchant_id", "order_id", "transaction_time", "amount_fen", "fee_fen", "status", "institution",
    "original_order_id",
]
CHUNK_BYTES = 1_000  # up to 1 MiB; small here, so that there are several


def play(day):
    upload(day, day.bank, settlement_file([payout_row(p) for p in day.payouts.values()]), "STATEMENT")
    # The first delivery lacks its end; the corrected file supersedes it.
    rows = unionpay_rows(day)
    wrong = upload(day, day.unionpay, settlement_file(rows[:-1]), "SETTLEMENT")
    day.file = upload(day, day.unionpay, settlement_file(rows), "SETTLEMENT").name
    replaced = day.unionpay.call("ChannelService/GetSettlementFile", name=wrong.name)
    assert text(replaced, "state") == "SUPERSEDED" and replaced.superseded_by == day.file, replaced
    received = day.wang.list("ChannelService/ListSettlementFiles", filter='state = "RECEIVED"')
    assert day.file in {file.name for file in received} and len(received) == 2, received
    told("delivered", day.file, len(rows), "rows")


def unionpay_rows(day):
    """The truth, but for what the morning is to find."""
    rows = {who: payment_row(payment) for who, payment in day.payments.items()}
    rows["voids"]["amount_fen"] -= 1_000
    rows["voids"]["fee_fen"] = fee_of(rows["voids"]["amount_fen"])
    rows["blind"]["fee_fen"] += 50
    refunds = [refund_row(day, refund) for refund in day.refunds]
    unknown = {**rows["pays"], "order_id": "PYUNKNOWN01", "amount_fen": 12_300, "fee_fen": fee_of(12_300)}
    failed = {**rows["pays"], "order_id": "PYORDER0014", "amount_fen": 20_000, "fee_fen": 0, "status": "FAILED"}
    return [*rows.values(), *refunds, rows["pays"], unknown, failed]


def fee_of(amount_fen):
    """The agreed fee, as the channel's policy says: 20 basis points, rounded half up."""
    return (amount_fen * 20 + 5_000) // 10_000


def row(kind, payment, institution, **more):
    time = datetime.datetime.fromtimestamp(payment.transaction_time_us // 1_000_000, SHANGHAI)
    return {
        "kind": kind, "merchant_id": payment.merchant_id or MERCHANT, "order_id": payment.order_id,
        "transaction_time": f"{time:%Y%m%d%H%M%S}", "amount_fen": payment.amount_fen, "fee_fen": 0, "status": "SUCCESS",
        "institution": institution.removeprefix("institutions/"), "original_order_id": "", **more,
    }


def payment_row(payment):
    return row("PAYMENT", payment, payment.institution, fee_fen=fee_of(payment.amount_fen))


def refund_row(day, refund):
    original = next(p for p in day.payments.values() if p.name == refund.payment)
    return row("REFUND", refund, original.institution, original_order_id=original.order_id)


def payout_row(claim):
    return {
        "kind": "OPERATING_SUBSIDY", "order_id": claim.order_id, "transaction_time": claim.clearing_date.replace("-", "") + "160000",
        "amount_fen": claim.amount_fen, "fee_fen": 0, "status": "SUCCESS",
        "institution": claim.institution.removeprefix("institutions/"),
    }


def settlement_file(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    sums = [len(rows), sum(r["amount_fen"] for r in rows), sum(r["fee_fen"] for r in rows)]
    csv.writer(out, lineterminator="\n").writerow(["TRAILER", *sums, "", "", "", "", ""])
    return out.getvalue().encode()


def upload(day, channel, content, states, form="CSV"):
    """Announced with size and digest, sent in chunks, completed."""
    digest = hashlib.sha256(content).hexdigest()
    begun = channel.call(
        "ChannelService/BeginUpload",
        clearing_date=day.today, format=f"FILE_FORMAT_{form}", content=f"FILE_CONTENT_{states}",
        file_name=f"{day.today}.{form.lower()}", size_bytes=len(content), sha256=digest,
    ).file
    for offset in range(0, len(content), CHUNK_BYTES):
        chunk = content[offset : offset + CHUNK_BYTES]
        received = channel.call("ChannelService/UploadChunk", file=begun.name, offset=offset, data=chunk).received_bytes
        assert received == offset + len(chunk)
    file = channel.call("ChannelService/CompleteUpload", file=begun.name).file
    assert text(file, "state") == "RECEIVED" and file.rejected_rows == 0, file
    return file
