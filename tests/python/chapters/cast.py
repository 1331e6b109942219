"""Who takes part, what day it is, and what is told again in several chapters."""

import datetime

from jjj_client import Api, Client, Identity, Notebook, sha256

BEIJING, TIANJIN, HEBEI = "regions/110000", "regions/120000", "regions/130000"
UNIONPAY, BANK = "channels/unionpay", "channels/bank"
SUBSIDY = "care_subsidy"
HAIDIAN, SANHE = "110108", "131082"  # a household district; a county across the river
MERCHANT = "898110000000001"

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))


def morning_of_the_18th(now):
    """Seconds from `now` to ten in the morning, Beijing time, of the next 18th: far from every cut-off."""
    day = datetime.datetime.fromtimestamp(now, SHANGHAI).replace(hour=10, minute=0, second=0, microsecond=0)
    while day.timestamp() < now or day.day != 18:
        day += datetime.timedelta(days=1)
    return int(day.timestamp() - now)


class Day:
    """The clients, the dates, and the records of the story."""

    def __init__(self, gateway, proto_dir):
        self.gateway, self.api, self.notebook = gateway, Api(proto_dir), Notebook()
        self.beijing, self.tianjin, self.hebei = map(self.client, (BEIJING, TIANJIN, HEBEI))
        self.unionpay, self.bank = self.client(UNIONPAY), self.client(BANK)
        self.chen, self.liu, self.sun = (self.client(f"{BEIJING}/admins/{name}") for name in ("chen", "liu", "sun"))
        self.ma, self.hu, self.guo = (self.client(f"{HEBEI}/admins/{name}") for name in ("ma", "hu", "guo"))
        self.li, self.wang = (self.client(f"gateway/admins/{name}") for name in ("li", "wang"))

        today = datetime.datetime.fromtimestamp(gateway.now(), SHANGHAI).date()
        month_start = today.replace(day=1)
        last_month = (month_start - datetime.timedelta(days=1)).replace(day=1)
        next_month = (month_start + datetime.timedelta(days=32)).replace(day=1)
        self.today, self.tomorrow = today.isoformat(), (today + datetime.timedelta(days=1)).isoformat()
        self.month, self.last_month, self.next_month = (d.isoformat()[:7] for d in (month_start, last_month, next_month))
        self.year, self.moved_in = today.year, f"{self.last_month}-05"
        # A record's validity: decided and valid since last month, for less than three years.
        self.valid_from, self.valid_until = f"{self.last_month}-01", f"{today.year + 2}-06-30"
        self.contract_until = f"{today.year + 1}-06-30"

    def client(self, actor):
        return Client(Identity.load(self.gateway.sandbox, actor), self.gateway, self.api, self.notebook)

    def now_us(self):
        return int(self.gateway.now() * 1_000_000)

    def decided(self, number):
        """What every published record says of its decision and its validity."""
        return {
            "state": "RECORD_STATE_VALID", "document_number": number, "decided_by": "评定委员会", "decided_on": self.valid_from,
            "valid_from": self.valid_from, "valid_until": self.valid_until, "reason": "首次",
        }

    def change(self, state, **more):
        """A change of a published record, as decided today."""
        return {
            "new_state": f"RECORD_STATE_{state}", "reason": "复核", "decided_by": "评定委员会", "document_number": "变更-1",
            "effective_on": self.today, **more,
        }

    def grant(self, elder, month):
        return {"elder": elder, "programme": SUBSIDY, "month": month, "channel": UNIONPAY}

    def order(self, bill, order_id, amount_fen, fee_type="FEE_TYPE_BED"):
        """A payment as the channel's app makes it."""
        return {
            "bill": bill, "fee_type": fee_type, "programme": SUBSIDY, "amount_fen": amount_fen, "merchant_id": MERCHANT,
            "order_id": order_id, "transaction_time_us": self.now_us(), "consent_sha256": sha256(f"consent {order_id}"),
        }

    def balance(self, elder):
        asked = {"elder": elder, "region": BEIJING, "programme": SUBSIDY}
        return self.unionpay.call("EntitlementService/GetBalance", **asked)


def told(what, *details):
    print(f"{what}:", *details)
