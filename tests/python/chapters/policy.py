"""What may be paid is data: an administrator of Beijing reads the gate and changes it from next month on."""

import json

from .cast import told

GATE = "policies/gate/110000/care_subsidy"


def play(day):
    kinds = {policy.kind for policy in day.unionpay.list("PolicyService/ListPolicies")}
    assert {"gate", "programme", "channel", "calendar"} <= kinds, kinds
    assert "agreement" not in kinds, "regions agree among themselves"
    gate = json.loads(day.chen.call("PolicyService/GetPolicy", name=GATE).body)
    gate["contract_evidence"] = ["ONLINE_FILED"]
    change = {
        "kind": "gate", "scope": "110000/care_subsidy", "effective_from": f"{day.next_month}-01",
        "body": json.dumps(gate), "reason": "下月起只认网签合同",
    }
    day.ma.refused("NOT_YOUR_RECORD", "PolicyService/SetPolicy", **change)
    misspelt = {**change, "body": json.dumps({**gate, "fee_typos": []})}
    day.chen.refused("POLICY_BODY_INVALID", "PolicyService/SetPolicy", **misspelt)
    set_now = day.chen.call("PolicyService/SetPolicy", **change).policy
    evidence_on = lambda date: json.loads(day.liu.call("PolicyService/GetPolicy", name=GATE, as_of=date).body)["contract_evidence"]
    assert evidence_on(change["effective_from"]) == ["ONLINE_FILED"]
    assert len(evidence_on(day.today)) == 2, "today's gate is as it was"
    versions = day.chen.list("PolicyService/ListPolicyVersions", name=GATE)
    assert versions[0].version == set_now.version and versions[-1].author == "gateway", versions
    told("gate from", set_now.effective_from, "version", set_now.version)
