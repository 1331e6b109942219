"""Reports and files as LibreOffice itself has them.

    libreoffice.py compare FOLDER   NAME.xlsx beside NAME.json: every cell that Calc shows, against the JSON
    libreoffice.py resave FOLDER    day.csv, opened with all columns as text: saved as day.xlsx, and that as resaved.csv
"""

import csv
import datetime
import decimal
import html.parser
import json
import pathlib
import re
import subprocess
import sys

FOLDER = pathlib.Path(sys.argv[2]).resolve()
CSV = "Text - txt - csv (StarCalc)"


def convert(files, to, out, *more):
    profile = f"-env:UserInstallation=file://{FOLDER}/profile"
    command = ["soffice", "--headless", profile, *more, "--convert-to", to, "--outdir", out, *files]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr


class Sheets(html.parser.HTMLParser):
    """A page of Calc's: by sheet, rows of (text, number); a cell that is no number has None."""

    def __init__(self, text):
        super().__init__()
        self.sheets, self.title, self.cell = {}, None, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "em":
            self.title = ""
        elif tag == "table":
            # The first is a list of the sheets.
            self.rows = self.sheets.setdefault(self.title.strip(), []) if self.title is not None else []
            self.title = None
        elif tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.cell, self.number = "", dict(attributes).get("sdval")
        elif tag == "br" and self.cell is not None:
            self.cell += "\n"

    def handle_data(self, text):
        if self.cell is not None:
            self.cell += text
        elif self.title is not None:
            self.title += text

    def handle_endtag(self, tag):
        if tag == "td":
            number = None if self.number is None else decimal.Decimal(self.number)
            self.rows[-1].append((self.cell.strip(), number))
            self.cell = None


def sheet_name(title):
    return "".join(c for c in title if c not in "[]:*?/\\'")[:31]


def shown(column, value):
    """What Calc must show, and the number it must have; None: one of a closed set, whose title is not in the JSON."""
    if value is None:
        return "", None
    if isinstance(value, int) and column.endswith("_fen"):
        yuan = decimal.Decimal(value) / 100
        return f"{yuan:,.2f}", yuan
    if isinstance(value, int):
        return f"{value:,}", decimal.Decimal(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        day = datetime.date.fromisoformat(value) - datetime.date(1899, 12, 30)
        return value, decimal.Decimal(day.days)
    if re.fullmatch(r"[A-Z_0-9]+|[a-z_]+|regions/\d{6}", value):
        return None, None
    return value, None


class Seen:
    """What the comparison met: one that met none of a kind has shown nothing of it."""

    cells = negative = formulas = dates = chinese = 0


def compare_row(where, columns, values, of_csv, of_html):
    assert len(of_csv) == len(columns) == len(of_html), (where, of_csv, of_html)
    for at, (column, text, (page_text, number)) in enumerate(zip(columns, of_csv, of_html)):
        wanted, wanted_number = shown(column, values[column])
        where_at = (where, column)
        if "total" in where and at == 0:
            wanted = text if text in ("合计", "Total") else wanted
        if wanted is None:
            assert text and text == page_text, (where_at, text, page_text)
        else:
            assert text == wanted, (where_at, text, wanted)
            assert " ".join(page_text.split()) == " ".join(wanted.split()), (where_at, page_text, wanted)
        assert number == wanted_number, (where_at, number, wanted_number)
        Seen.cells += 1
        Seen.negative += wanted_number is not None and wanted_number < 0
        Seen.formulas += text.startswith("=")
        Seen.dates += wanted_number is not None and "-" in text[1:]
        Seen.chinese += bool(re.search("[\u4e00-\u9fff]", text))


def compare_facts(where, report, of_csv, of_html):
    wanted = [shown("ledger_number", report["ledger_number"]), shown("", report["as_of"]), (report["subject"], None)]
    wanted += [shown(name, value) for name, value in report["facts"].items()]
    rows = [row for row in zip(of_csv, of_html) if len(row[0]) > 1 and row[0][0]][1:]
    assert of_csv[0][0] == report["title"] and len(rows) == len(wanted), (where, of_csv)
    found = [(csv_row[1], html_row[1][1]) for csv_row, html_row in rows]
    for value in wanted:
        if value[0] is not None:
            assert value in found, (where, value, found)


def compare():
    books = sorted(FOLDER.glob("*.xlsx"))
    # Fields as shown, every sheet into a file of its own.
    convert(books, f"csv:{CSV}:44,34,76,1,,0,false,true,true,false,false,-1", FOLDER / "csv")
    convert(books, "html:HTML (StarCalc)", FOLDER / "html")
    for book in books:
        report = json.loads(book.with_suffix(".json").read_text())
        pages = Sheets((FOLDER / "html" / f"{book.stem}.html").read_text(encoding="utf-8")).sheets
        facts = "概要" if report["language"].startswith("zh") else "Summary"
        titles = [facts, *(sheet_name(table["title"]) for table in report["tables"].values())]
        assert sorted(pages) == sorted(titles), (book.name, pages.keys(), titles)

        def sheet(title):
            with open(FOLDER / "csv" / f"{book.stem}-{title}.csv", newline="", encoding="utf-8") as file:
                return list(csv.reader(file)), pages[title]

        compare_facts(book.name, report, *sheet(facts))
        for name, table in report["tables"].items():
            of_csv, of_html = sheet(sheet_name(table["title"]))
            columns = [column["id"] for column in table["columns"]]
            unit = "（元）" if report["language"].startswith("zh") else " (yuan)"
            heads = [c["title"] + (unit if c["id"].endswith("_fen") else "") for c in table["columns"]]
            assert of_csv[0] == heads, (book.name, of_csv[0], heads)
            rows = table["rows"] + ([table["total"]] if table["total"] else [])
            assert len(of_csv) == len(of_html) == len(rows) + 1, (book.name, name, len(of_csv), len(of_html), len(rows))
            for at, row in enumerate(rows):
                where = (book.name, name, at if at < len(table["rows"]) else "total")
                compare_row(where, columns, row, of_csv[at + 1], of_html[at + 1])
    seen = {name: count for name, count in vars(Seen).items() if not name.startswith("_")}
    assert all(seen.values()), f"nothing was shown of some kind: {seen}"
    print(len(books), "workbooks", seen)


def resave():
    texts = "/".join(f"{column}/2" for column in range(1, 10))
    convert([FOLDER / "day.csv"], "xlsx", FOLDER, f"--infilter={CSV}:44,34,76,1,{texts}")
    # Every text quoted, as spreadsheets may.
    convert([FOLDER / "day.xlsx"], f"csv:{CSV}:44,34,76,1,,0,true,false", FOLDER / "csv")
    (FOLDER / "csv" / "day.csv").rename(FOLDER / "resaved.csv")


{"compare": compare, "resave": resave}[sys.argv[1]]()
