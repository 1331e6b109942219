"""Operating subsidies of last month: Hebei claims from its stays, Beijing approves, the bank pays."""

from jjj_client import text

from .cast import BANK, BEIJING, told

CLAIM, APPROVE, PAID = (f"OperatingSubsidyService/{verb}" for verb in ("CreateClaim", "ApproveClaim", "ConfirmPayout"))


def play(day):
    budget = {"programme": "operating_subsidy", "funder_division": "110000", "budget_year": day.year, "amount_fen": 50_000_000}
    day.chen.call("EntitlementService/AllotBudget", **budget, reference="预算-2")
    one_by_one(day)
    in_bulk(day)
    paid = day.hebei.list("OperatingSubsidyService/ListClaims", filter='state = "PAID"')
    assert {claim.name for claim in paid} == set(day.payouts), paid


def approval(claim):
    return {"claim": claim.name, "amount_fen": claim.amount_fen, "funder_division": "110000", "channel": BANK}


def transfer(day, claim, order_id):
    return {"claim": claim.name, "amount_fen": claim.amount_fen, "order_id": order_id, "clearing_date": day.today}


def one_by_one(day):
    month = {"institution": day.home, "payer": BEIJING, "month": day.last_month}
    day.hebei.refused("MONTH_IN_FUTURE", CLAIM, **{**month, "month": day.month})
    claim = day.hebei.call(CLAIM, **month).claim
    # Eight of level 3 or 4 at 700 yuan, and the blind elder lives elsewhere.
    assert claim.amount_fen == 70_000 * len(claim.stays), claim
    day.chen.call("OperatingSubsidyService/DeclineClaim", claim=claim.name, reason="缺少附件")
    claim = day.hebei.call(CLAIM, **month).claim
    day.beijing.refused("AMOUNT_MISMATCH", APPROVE, **{**approval(claim), "amount_fen": 1})
    day.beijing.call(APPROVE, **approval(claim))
    day.bank.call(PAID, **transfer(day, claim, "BANKORDER01"))
    returned = day.bank.call("OperatingSubsidyService/ReturnPayout", claim=claim.name, reason="户名不符").claim
    assert text(returned, "state") == "RETURNED", returned
    day.bank.refused("ORDER_ID_TAKEN", PAID, **transfer(day, claim, "BANKORDER01"))
    day.bank.call(PAID, **transfer(day, claim, "BANKORDER02"))
    known = day.hebei.call("OperatingSubsidyService/GetClaim", name=claim.name)
    assert text(known, "state") == "PAID" and known.order_id == "BANKORDER02", known
    day.payouts = {known.name: known}
    told("operating subsidy", known.amount_fen, "fen for", len(known.stays), "stays")


def in_bulk(day):
    bulk = lambda client, verb, single, request: client.batch_all(f"OperatingSubsidyService/{verb}", single, [request])[0].claim
    claim = bulk(day.hebei, "BatchCreateClaims", CLAIM, {"institution": day.second_home, "payer": BEIJING, "month": day.last_month})
    bulk(day.chen, "BatchApproveClaims", APPROVE, approval(claim))
    bulk(day.bank, "BatchConfirmPayouts", PAID, transfer(day, claim, "BANKORDER03"))
    back = {"claim": claim.name, "reason": "账号错误"}
    bulk(day.bank, "BatchReturnPayouts", "OperatingSubsidyService/ReturnPayout", back)
    again = bulk(day.bank, "BatchConfirmPayouts", PAID, transfer(day, claim, "BANKORDER04"))
    day.payouts[again.name] = again
