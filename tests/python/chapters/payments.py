"""The channel's day: asked, decided, confirmed, undone; and what it reports that nobody asked about."""

from jjj_client import text

from .cast import BEIJING, SUBSIDY, UNIONPAY, told

AUTHORISE, CONFIRM, REVERSE = (f"PaymentService/{verb}Payment" for verb in ("Authorize", "Confirm", "Reverse"))


def play(day):
    day.payments, day.refunds = {}, []
    how_much(day)
    paid(day)
    in_bulk(day)
    undone(day)
    reported_afterwards(day)
    listed(day)


def how_much(day):
    """How much may be paid, and why not more; and the same for a channel that cannot ask."""
    ask = {"bill": day.bills["pays"], "fee_type": "FEE_TYPE_BED", "programme": SUBSIDY}
    check = day.unionpay.call("PaymentService/CheckPayment", **ask, amount_fen=150_000)
    assert (check.approvable, check.payable_fen, check.open_fen) == (False, 60_000, 150_000), check
    unmet = [text(c, "condition") for c in check.conditions if not c.met]
    assert unmet == ["FUNDS"], unmet
    eligible = day.unionpay.list("PaymentService/ListEligibility", region=BEIJING, programme=SUBSIDY, date=day.today)
    mine = {text(e, "fee_type"): e.payable_fen for e in eligible if e.bill == day.bills["pays"]}
    assert mine == {"BED": 60_000, "NURSING": 60_000}, mine


def confirm(day, payment):
    return day.unionpay.call(CONFIRM, payment=payment.name, amount_fen=payment.amount_fen).payment


def paid(day):
    """No more than the balance; and a call sent again gets its first answer and changes nothing."""
    bill = day.bills["pays"]
    day.unionpay.refused("INSUFFICIENT_FUNDS", AUTHORISE, **day.order(bill, "PYORDER0001", 60_001))
    body = day.unionpay.encode(AUTHORISE, **day.order(bill, "PYORDER0002", 50_000))
    first, again = (day.unionpay.send(AUTHORISE, body, day.unionpay.token(f"/jjj.gateway.v1.{AUTHORISE}", [body])) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    day.unionpay.refused("ORDER_ID_TAKEN", AUTHORISE, **day.order(bill, "PYORDER0002", 1_000))
    day.authorisation = body
    day.payments["pays"] = confirm(day, first.payment)
    told("paid", first.payment.name)


def in_bulk(day):
    """Several at once; one too much is refused alone. Later part of one is refunded, in two goes."""
    orders = [
        day.order(day.bills["refunded"], "PYORDER0011", 40_000), day.order(day.bills["blind"], "PYORDER0012", 40_001),
        day.order(day.bills["blind"], "PYORDER0013", 20_000), day.order(day.bills["reverses"], "PYORDER0014", 20_000),
    ]
    answers = day.unionpay.batch("PaymentService/BatchAuthorizePayments", AUTHORISE, orders)
    assert answers[1].reason == "INSUFFICIENT_FUNDS", answers[1]
    refunded, blind, reversed_ = (answers[i].payment for i in (0, 2, 3))
    confirmations = [{"payment": p.name, "amount_fen": p.amount_fen} for p in (refunded, blind)]
    answers = day.unionpay.batch_all("PaymentService/BatchConfirmPayments", CONFIRM, confirmations)
    day.payments["refunded"], day.payments["blind"] = (answer.payment for answer in answers)
    timed_out = {"payment": reversed_.name, "reason": "超时冲正"}
    answers = day.unionpay.batch_all("PaymentService/BatchReversePayments", REVERSE, [timed_out])
    assert text(answers[0].payment, "state") == "REVERSED", answers

    refund = lambda order_id, fen: {
        "payment": refunded.name, "order_id": order_id, "amount_fen": fen, "transaction_time_us": day.now_us(), "reason": "退住",
    }
    make, bulk = "PaymentService/RefundPayment", "PaymentService/BatchRefundPayments"
    day.refunds.append(day.unionpay.call(make, **refund("PYREFUND001", 10_000)).refund)
    answers = day.unionpay.batch(bulk, make, [refund("PYREFUND002", 5_000), refund("PYREFUND003", 25_001)])
    assert answers[1].reason == "REFUND_EXCEEDS_PAYMENT", answers[1]
    day.refunds.append(answers[0].refund)
    assert day.unionpay.call("PaymentService/GetRefund", name=day.refunds[1].name).amount_fen == 5_000
    assert day.balance(day.elders["refunded"]).available_fen == 35_000


def undone(day):
    """Voided on its clearing date; reversed before confirmation; confirmed when nothing was held any more."""
    bill = day.bills["voids"]
    voided = confirm(day, day.unionpay.call(AUTHORISE, **day.order(bill, "PYORDER0021", 30_000)).payment)
    day.unionpay.refused("STATE_NOT_ALLOWED", REVERSE, payment=voided.name, reason="已确认")
    voided = day.unionpay.call("PaymentService/VoidPayment", payment=voided.name, reason="当日撤销").payment
    assert text(voided, "state") == "VOIDED" and day.balance(day.elders["voids"]).available_fen == 60_000
    day.payments["voids"] = confirm(day, day.unionpay.call(AUTHORISE, **day.order(bill, "PYORDER0022", 30_000)).payment)

    late = day.unionpay.call(AUTHORISE, **day.order(day.bills["reverses"], "PYORDER0023", 15_000)).payment
    day.unionpay.call(REVERSE, payment=late.name, reason="超时冲正")
    day.payments["late"] = confirm(day, late)
    assert text(day.payments["late"], "state") == "LATE", day.payments["late"]


def reported_afterwards(day):
    """A channel that could not ask reports facts: booked whatever they are, judged as findings."""
    def advice(order_id, fen, fee_type):
        facts = day.order(day.bills["advised"], order_id, fen, fee_type)
        return {k: v for k, v in facts.items() if k != "consent_sha256"}

    advise = "PaymentService/AdvisePayment"
    meal = day.unionpay.call(advise, **advice("PYADVICE001", 5_000, "FEE_TYPE_MEAL")).payment
    assert [text(u, "condition") for u in meal.unmet] == ["FEE_TYPE"], meal
    answers = day.unionpay.batch_all(
        "PaymentService/BatchAdvisePayments", advise, [advice("PYADVICE002", 10_000, "FEE_TYPE_BED")]
    )
    day.payments["meal"], day.payments["advised"] = meal, answers[0].payment


def listed(day):
    found = day.unionpay.call("PaymentService/QueryPayment", order_id="PYORDER0002")
    day.unionpay.refused("RECORD_NOT_FOUND", "PaymentService/QueryPayment", order_id="PYORDER0001")
    assert found == day.beijing.call("PaymentService/GetPayment", name=day.payments["pays"].name)
    versions = day.beijing.list("PaymentService/ListPaymentVersions", name=found.name)
    assert [text(v, "state") for v in versions] == ["CONFIRMED", "RESERVED"], versions
    confirmed = day.hebei.list("PaymentService/ListPayments", filter=f'channel = "{UNIONPAY}" AND state = "CONFIRMED"')
    assert len(confirmed) == len(day.payments) - 1, confirmed
    assert len(day.beijing.list("PaymentService/ListRefunds", filter='order_id >= "PYREFUND"')) == 2
