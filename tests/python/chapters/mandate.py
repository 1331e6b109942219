"""Beijing instructs transfers under a mandate; the channel takes them from its stream."""

from jjj_client import sha256, text

from .cast import SUBSIDY, UNIONPAY, told

INSTRUCT, REJECT = "PaymentService/InstructPayment", "PaymentService/RejectInstruction"


def play(day):
    name = mandates(day)
    cursor = instructions(day, name)
    after_a_break(day, name, cursor)
    revoked = day.chen.call("MandateService/RevokeMandate", mandate=name, reason="老人撤回授权").mandate
    day.beijing.refused("STATE_NOT_ALLOWED", INSTRUCT, **instruction(day, name, 1_000))
    assert text(revoked, "state") == "REVOKED", revoked


def mandates(day):
    create = "MandateService/CreateMandate"
    mandate = lambda who, fen: {
        "programme": SUBSIDY, "elder": day.elders[who], "contract": day.contracts[who], "channel": UNIONPAY,
        "fee_types": ["FEE_TYPE_BED", "FEE_TYPE_NURSING"], "monthly_cap_fen": fen, "valid_from": f"{day.month}-01",
        "valid_until": day.contract_until, "consent_sha256": sha256(f"consent of {who}"),
    }
    name = day.beijing.call(create, **mandate("instructed", 50_000)).mandate.name
    day.beijing.batch_all("MandateService/BatchCreateMandates", create, [mandate("pays", 10_000)])
    assert day.unionpay.call("MandateService/GetMandate", name=name).in_force
    assert len(day.hebei.list("MandateService/ListMandates", filter='in_force = "true"')) == 2
    return name


def instruction(day, mandate, fen):
    return {"mandate": mandate, "bill": day.bills["instructed"], "fee_type": "FEE_TYPE_NURSING", "amount_fen": fen}


def instructions(day, mandate):
    """One paid, two rejected, one withdrawn; the cap holds."""
    bulk = [instruction(day, mandate, fen) for fen in (5_000, 50_001)]
    answers = day.beijing.batch("PaymentService/BatchInstructPayments", INSTRUCT, bulk)
    assert answers[1].reason == "MANDATE_CAP_EXCEEDED", answers[1]
    second, third, paid = (day.beijing.call(INSTRUCT, **instruction(day, mandate, fen)).payment for fen in (2_000, 3_000, 40_000))
    day.chen.call("PaymentService/CancelInstruction", payment=third.name, reason="金额有误")

    # The stream tells all that is needed to act; its order id is the transfer's.
    taken = {}
    for instruction_ in day.unionpay.stream("ChannelService/StreamInstructions", cursor=-1, follow=True):
        taken[text(instruction_, "kind"), instruction_.record] = instruction_
        if text(instruction_, "kind") == "PAY" and instruction_.record == paid.name:
            last = instruction_
        if text(instruction_, "kind") == "CANCEL":
            cancel = instruction_
            break
    assert cancel.record == third.name and taken["PAY", paid.name].amount_fen == 40_000, taken
    assert ("CREDIT", day.grants["pays"].name) in taken and ("CLAW_BACK", day.grants["clawed_back"].name) in taken
    assert last.order_id == paid.order_id and last.institution == day.home, last

    day.payments["instructed"] = day.unionpay.call(
        "PaymentService/ConfirmPayment", payment=last.record, amount_fen=last.amount_fen, transaction_time_us=day.now_us()
    ).payment
    day.unionpay.call(REJECT, payment=second.name, reason="账户止付")
    rejection = {"payment": answers[0].payment.name, "reason": "账户止付"}
    rejected = day.unionpay.batch_all("PaymentService/BatchRejectInstructions", REJECT, [rejection])
    assert text(rejected[0].payment, "state") == "REJECTED", rejected
    told("instructed", last.record, "order", last.order_id)
    return day.unionpay.call("ChannelService/AcknowledgeInstructions", cursor=max(i.cursor for i in taken.values())).cursor


def after_a_break(day, mandate, cursor):
    """Resumed at its acknowledgement, the stream has only what came since."""
    since = day.beijing.call(INSTRUCT, **instruction(day, mandate, 1_000)).payment.name
    for instruction_ in day.unionpay.stream("ChannelService/StreamInstructions", cursor=-1, follow=True):
        assert instruction_.cursor > cursor and instruction_.record == since, instruction_
        break
    day.unionpay.call(REJECT, payment=since, reason="账户止付")
