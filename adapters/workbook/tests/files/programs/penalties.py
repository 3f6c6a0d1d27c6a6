"""Writes the same table with a program of others: python3 penalties.py PROGRAM FILE [defects] [1904] [inline]

Rows are what a department has; each defect is what a spreadsheet does to one of its cells.
"""

import datetime
import sys

HEADER = ["序号", "行政处罚决定书文号", "行政相对人名称", "CF_XDR_SHXYM", "处罚决定日期", "罚款金额（万元）", "处罚内容"]
ROWS = [
    ["甲罚〔2026〕1号", "样例一公司", "91350200MA00000015", datetime.date(2026, 11, 20), 1234.56, "罚款"],
    ["甲罚〔2026〕2号", "样例 & <二>公司", "91350200MA00000023", datetime.date(2024, 2, 29), 0.3, "警告，\n限期改正"],
    ["甲罚〔2026〕3号", "𠮷田样例公司", "91350200MA00000031", datetime.date(1999, 12, 31), 100, "罚款"],
]
# By row and column (0 first, without the numbering): what stands there instead.
DEFECTS = {
    (0, 2): 350200100012345678,
    (1, 2): 91350200,
    (1, 3): 45000,
    (2, 0): datetime.date(2026, 1, 2),
    (2, 5): True,
}


def table(defects):
    for number, row in enumerate(ROWS):
        yield [number + 1] + [DEFECTS.get((number, at), value) if defects else value for at, value in enumerate(row)]


def by_openpyxl(path, defects, epoch_1904=False):
    import openpyxl
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    book = openpyxl.Workbook()
    if epoch_1904:
        book.epoch = CALENDAR_MAC_1904
    sheet = book.active
    sheet.title = "数据"
    sheet.append(["行政处罚信息公示表"])
    sheet.merge_cells("A1:G1")
    sheet.append(HEADER)
    for row in table(defects):
        sheet.append(row)
    if defects:
        sheet["B6"] = "甲罚〔2026〕4号"
        sheet["C6"] = "=C3"
        sheet["G6"] = "#N/A"
        sheet["G6"].data_type = "e"
        sheet.merge_cells("D5:D6")
        sheet.row_dimensions[6].hidden = True
    sheet.append(["合计", None, None, None, None, 1334.86])
    hidden = book.create_sheet("旧数据")
    hidden.append(["行政处罚决定书文号", "行政处罚内容"])
    hidden.append(["不应读取", "不应读取"])
    hidden.sheet_state = "hidden"
    book.create_sheet("空表")
    book.save(path)


def by_xlsxwriter(path, defects, epoch_1904=False, strings=True):
    import xlsxwriter

    # In constant memory texts stand in the cells themselves, else they are shared.
    book = xlsxwriter.Workbook(path, {"date_1904": epoch_1904, "constant_memory": not strings})
    day = book.add_format({"num_format": 'yyyy"年"m"月"d"日"'})
    bold = book.add_format({"bold": True})
    sheet = book.add_worksheet("数据")
    sheet.write_row(0, 0, ["行政处罚信息公示表"])
    sheet.write_row(1, 0, HEADER)
    for number, row in enumerate(table(defects), 2):
        for column, value in enumerate(row):
            if isinstance(value, datetime.date):
                sheet.write_datetime(number, column, value, day)
            elif isinstance(value, str) and column == 2 and strings:
                sheet.write_rich_string(number, column, bold, value[:2], value[2:])
            else:
                sheet.write(number, column, value)
    if defects:
        sheet.write(5, 1, "甲罚〔2026〕4号")
        sheet.write_formula(5, 2, "=C3")
        sheet.write_formula(5, 6, "=NA()", None, "#N/A")
    sheet.write_row(7, 0, ["合计", "", "", "", "", 1334.86])
    hidden = book.add_worksheet("旧数据")
    hidden.write_row(0, 0, ["行政处罚决定书文号", "行政处罚内容"])
    hidden.hide()
    book.add_worksheet("空表")
    book.close()


if __name__ == "__main__":
    program, path, *options = sys.argv[1:]
    defects, epoch = "defects" in options, "1904" in options
    if program == "openpyxl":
        by_openpyxl(path, defects, epoch)
    else:
        by_xlsxwriter(path, defects, epoch, strings="inline" not in options)
