"""What Beijing recognizes of Hebei's ratings is proposed by one, accepted by the other, and ended by either."""

import hashlib
import json

from jjj_client import text

from .cast import BEIJING, HEBEI, told

SCOPE = "130000>110000/RATING"
BETWEEN = {"issuer": HEBEI, "recognizer": BEIJING, "record_kind": "RECORD_KIND_RATING"}


def terms_sha256(agreement):
    """What an acceptance signs, made of what was read."""
    kind = text(agreement, "record_kind")
    lines = (agreement.issuer, agreement.recognizer, kind, agreement.effective_from, agreement.body)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def play(day):
    shipped = day.hebei.call("PolicyService/GetPolicy", name=f"policies/agreement/{SCOPE}")
    terms = {**json.loads(shipped.body), "min_grade": 2, "notice_days": 30, "source": "京冀协议"}
    offer = {**BETWEEN, "effective_from": day.today, "body": json.dumps(terms), "reason": "联席会议"}
    propose, accept = "AgreementService/ProposeAgreement", "AgreementService/AcceptAgreement"
    day.tianjin.refused("NOT_YOUR_RECORD", propose, **offer)
    day.ma.refused("POLICY_BODY_INVALID", propose, **{**offer, "body": json.dumps({**terms, "minimum": 2})})
    proposed = day.ma.call(propose, **offer).agreement
    assert proposed.terms_sha256 == terms_sha256(proposed), proposed
    answer = {"agreement": proposed.name, "terms_sha256": terms_sha256(proposed), "reason": "同意"}
    day.hebei.refused("SAME_ORGANISATION", accept, **answer)
    day.beijing.refused("DIGEST_MISMATCH", accept, **{**answer, "terms_sha256": "0" * 64})
    accepted = day.beijing.call(accept, **answer).agreement
    in_force = day.beijing.call("PolicyService/GetPolicy", name=f"policies/agreement/{SCOPE}")
    assert (in_force.agreement, in_force.version) == (accepted.name, 2), in_force
    told("agreed", accepted.policy, "by", accepted.proposed_by, "and", accepted.answered_by)

    # One proposal waits; Beijing's own takes the place of Hebei's, Hebei declines it, and takes its next one back.
    later = {**offer, "effective_from": f"{day.next_month}-01"}
    first = day.hebei.call(propose, **later).agreement
    counter = day.beijing.call(propose, **later).agreement
    assert text(day.hebei.call("AgreementService/GetAgreement", name=first.name), "state") == "SUPERSEDED"
    day.hebei.call("AgreementService/DeclineAgreement", agreement=counter.name, reason="另议")
    withdrawn = day.hebei.call(propose, **later).agreement
    day.hebei.call("AgreementService/WithdrawAgreement", agreement=withdrawn.name, reason="撤回")
    listed = day.beijing.list("AgreementService/ListAgreements", filter=f'scope = "{SCOPE}"')
    assert sorted(text(a, "state") for a in listed) == ["ACCEPTED", "DECLINED", "SUPERSEDED", "WITHDRAWN"], listed
    assert not any(a.body for a in listed) and all(a.terms_sha256 for a in listed), listed
    versions = day.hebei.list("AgreementService/ListAgreementVersions", name=accepted.name)
    assert [text(v, "state") for v in versions] == ["ACCEPTED", "PROPOSED"], versions

    # Either may end alone, at the notice agreed on.
    end = {**BETWEEN, "effective_from": day.tomorrow, "reason": "不再互认"}
    day.beijing.refused("DATE_ORDER", "AgreementService/EndAgreement", **end)
    ended = day.beijing.call("AgreementService/EndAgreement", **{**end, "effective_from": f"{day.year + 1}-12-31"}).agreement
    assert text(ended, "state") == "ENDED", ended
