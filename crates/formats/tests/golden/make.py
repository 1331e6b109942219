"""Makes the golden files of the binary formats, from the published layouts and from nothing else.

Each row is laid out here by position: (first byte, width, text), bytes counted from 1 as the
interface specification counts them, a space between every two fields. Nothing of the product is
used; the numbers were added up by hand from the specification's table of lengths. Run it in this
folder: `python3 make.py`. The XML and the CSV beside it are typed by hand and not made.
"""

import zipfile

ZM_LENGTHS = [3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32,
              13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98]
ZME_LENGTHS = [3, 11, 11, 6, 10, 19, 12, 4, 2, 2, 6, 10, 4, 12, 13, 13, 15, 15, 1, 12, 2, 135]


def row(width, *fields):
    """A row of spaces with texts at their bytes."""
    line = bytearray(b" " * width)
    for first, length, text in fields:
        encoded = text.encode("gbk")
        assert len(encoded) <= length, text
        line[first - 1 : first - 1 + len(encoded)] = encoded
    return bytes(line) + b"\r\n"


# The first bytes used below, as the lengths and separators add up to.
def first_bytes(lengths):
    at, out = 1, []
    for length in lengths:
        out.append(at)
        at += length + 1
    return out, at - 2


zm_first, zm_width = first_bytes(ZM_LENGTHS)
zme_first, zme_width = first_bytes(ZME_LENGTHS)
assert (zm_width, zme_width) == (607, 339)
assert [zm_first[n - 1] for n in (4, 5, 7, 10, 12, 14, 15, 16, 17, 28, 31)] == \
    [29, 36, 67, 88, 113, 149, 156, 167, 181, 294, 328]
assert [zme_first[n - 1] for n in (4, 5, 7, 11, 12, 13, 14, 15, 16, 18)] == \
    [29, 36, 67, 91, 98, 109, 114, 127, 141, 171]

zm = b"".join([
    # A purchase of 500.00 yuan on 18 November, fee 1.00, with every field that a purchase may use.
    row(607, (1, 3, "S22"), (5, 11, "00010000"), (17, 11, "00010000"), (29, 6, "000123"), (36, 10, "1118101500"),
        (47, 19, "621626*********0018"), (67, 12, "000000050000"), (80, 4, "8398"), (85, 2, "07"),
        (88, 21, "682611181015000001238"), (110, 2, "00"), (113, 32, "20261118ORDER001"), (146, 2, "01"),
        (167, 13, "D000000000100"), (181, 13, "C000000049900"), (195, 4, "0001"), (216, 2, "01"), (219, 2, "01"),
        (222, 6, "000201"), (229, 2, "01"), (294, 15, "898131082990001"), (310, 1, "0"), (312, 15, "898131082990002"),
        (328, 32, "三河市燕郊颐养中心"), (361, 13, "C000000049900"), (375, 13, "C000000049900"), (389, 8, "01080209"),
        (398, 32, "护理费2026年11月")),
    # A refund of 100.00 of it, late on the same clearing date.
    row(607, (1, 3, "S30"), (29, 6, "000124"), (36, 10, "1118225959"), (67, 12, "000000010000"),
        (113, 32, "20261118REFUND01"), (149, 6, "000123"), (156, 10, "1118101500"), (167, 13, "C000000000000"),
        (181, 13, "D000000010000"), (294, 15, "898131082990001")),
])

# A chargeback of 20.00 of a purchase of 300.00 on 17 November.
zme = row(339, (1, 3, "E23"), (29, 6, "000900"), (36, 10, "1118120000"), (67, 12, "000000002000"), (91, 6, "000077"),
          (98, 10, "1117093000"), (109, 4, "1117"), (114, 12, "000000030000"), (127, 13, "C000000000000"),
          (141, 13, "D000000002000"), (171, 15, "898131082990001"))

for name, content in [("zm.txt", zm), ("zme.txt", zme)]:
    with open(name, "wb") as out:
        out.write(content)

with zipfile.ZipFile("898131082990001_20261118.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for name, content in [("INN26111888ZM_898131082990001", zm), ("INN26111888ZME_898131082990001", zme),
                          ("INN26111888_SUM", b"")]:
        member = zipfile.ZipInfo(name, (2026, 11, 19, 9, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, content)
