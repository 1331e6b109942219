"""Budget, funding, grants and credits; money spent elsewhere, left to the estate, or taken back."""

from jjj_client import text

from .cast import BEIJING, HAIDIAN, SUBSIDY, UNIONPAY, told
from .people import ELDERS

GRANT, CREDIT = "EntitlementService/GrantEntitlement", "EntitlementService/ReportCredit"


def play(day):
    funds = {"programme": SUBSIDY, "amount_fen": 10_000_000}
    day.chen.call("EntitlementService/AllotBudget", **funds, funder_division=HAIDIAN, budget_year=day.year, reference="预算-1")
    day.beijing.call("EntitlementService/FundChannel", **funds, channel=UNIONPAY, reference="预存-1")
    grants(day)
    a_credit_fails(day)
    spent_elsewhere(day)
    estate(day)
    clawbacks(day)
    events = day.beijing.list("EntitlementService/ListMoneyEvents", filter=f'programme = "{SUBSIDY}"')
    kinds = {text(event, "kind") for event in events}
    assert kinds == {"BUDGET_ALLOTTED", "CHANNEL_FUNDED", "SPENT_ELSEWHERE", "PAID_TO_ESTATE", "RECOVERED"}, kinds


def credited(grant):
    return {"grant": grant.name, "outcome": "CREDIT_OUTCOME_CREDITED", "amount_fen": grant.amount_fen}


def grants(day):
    """The month for everybody, by the rate table; the channel reports each credit."""
    first = day.beijing.call(GRANT, **day.grant(day.elders["pays"], day.month)).grant
    assert first.amount_fen == 60_000 and first.basis.startswith("assessments/"), first
    day.beijing.refused("ALREADY_GRANTED", GRANT, **day.grant(day.elders["pays"], day.month))
    others = [day.grant(day.elders[who], day.month) for who in ELDERS[1:]]
    answers = day.beijing.batch_all("EntitlementService/BatchGrantEntitlements", GRANT, others)
    blind = answers[-1].grant
    assert blind.amount_fen == 40_000 and blind.basis.startswith("disabilityCertificates/"), blind
    day.unionpay.refused("AMOUNT_MISMATCH", CREDIT, **{**credited(first), "amount_fen": 1})
    day.unionpay.call(CREDIT, **credited(first))
    reports = [credited(answer.grant) for answer in answers]
    day.unionpay.batch_all("EntitlementService/BatchReportCredits", CREDIT, reports)
    day.grants = {who: grant for who, grant in zip(ELDERS, [first, *(a.grant for a in answers)])}
    balance = day.balance(day.elders["pays"])
    assert (balance.granted_fen, balance.available_fen) == (0, 60_000), balance
    told("granted", len(day.grants))


def a_credit_fails(day):
    """Last month is paid late and cannot be credited: it stays granted, a finding tells of it."""
    late = day.beijing.call(GRANT, **day.grant(day.elders["voids"], day.last_month)).grant
    day.unionpay.call(CREDIT, grant=late.name, outcome="CREDIT_OUTCOME_FAILED", reason="账户状态异常")
    assert text(day.beijing.call("EntitlementService/GetGrant", name=late.name), "state") == "CREDIT_FAILED"
    failed = day.unionpay.list("EntitlementService/ListGrants", filter='state = "CREDIT_FAILED"')
    assert [g.name for g in failed] == [late.name], failed


def spent_elsewhere(day):
    """Facts are always booked, even where they overdraw the account."""
    report = "EntitlementService/ReportOutsideSpending"
    spent = lambda who, fen, reference: {
        "elder": day.elders[who], "programme": SUBSIDY, "amount_fen": fen, "occurred_on": day.today, "reference": reference,
    }
    day.unionpay.call(report, **spent("clawed_back", 20_000, "OUT-1"))
    answers = day.unionpay.batch(
        "EntitlementService/BatchReportOutsideSpendings", report,
        [spent("overspends", 70_000, "OUT-2"), spent("overspends", 70_000, "OUT-1")],
    )
    assert answers[1].reason == "RECORD_EXISTS", answers[1]
    assert day.balance(day.elders["overspends"]).available_fen == -10_000


def estate(day):
    """What a dead elder had belongs to the estate."""
    payout = {
        "elder": day.elders["dies"], "programme": SUBSIDY, "amount_fen": 60_000, "occurred_on": day.today, "reference": "EST-1",
    }
    day.unionpay.refused("STATE_NOT_ALLOWED", "EntitlementService/ReportEstatePayout", **payout)
    day.chen.call("ElderService/RecordDeath", elder=day.elders["dies"], died_on=day.today, document_number="死亡证明-1")
    day.hebei.call("StayService/EndStay", stay=day.stays["dies"], left_on=day.today, end_reason="STAY_END_REASON_DEATH")
    day.unionpay.call("EntitlementService/ReportEstatePayout", **payout)
    assert day.balance(day.elders["dies"]).posted_fen == 0


def clawbacks(day):
    """A month granted wrongly: uncredited it simply ends; credited, part comes back and the rest is owed."""
    elder = day.elders["clawed_back"]
    uncredited = day.beijing.call(GRANT, **day.grant(elder, day.next_month)).grant
    claw_back = "EntitlementService/ClawBackGrant"
    ended = day.chen.call(claw_back, grant=uncredited.name, reason="户籍迁出").grant
    assert text(ended, "state") == "CLAWED_BACK", ended
    wrong = day.grants["clawed_back"].name
    assert text(day.beijing.call(claw_back, grant=wrong, reason="户籍迁出").grant, "state") == "CLAWBACK_REQUESTED"
    returned = day.unionpay.call("EntitlementService/ReportClawbackReturn", grant=wrong, returned_fen=40_000).grant
    assert (returned.clawed_back_fen, returned.returned_fen) == (60_000, 40_000), returned
    owed = {"programme": SUBSIDY, "elder": elder, "reference": "追缴-1"}
    day.chen.refused("FIELD_OUT_OF_RANGE", "EntitlementService/RecordRecovery", **owed, amount_fen=20_001)
    recovered = day.beijing.call("EntitlementService/RecordRecovery", **owed, amount_fen=20_000).money_event
    assert recovered.region == BEIJING, recovered
