"""Units and revenue, in cents, of each region in a table of sales."""

import csv
import json

totals = {}
with open("/sales.csv", newline="") as table:
    for row in csv.DictReader(table):
        total = totals.setdefault(row["region"], {"units": 0, "cents": 0})
        total["units"] += int(row["units"])
        total["cents"] += int(row["units"]) * round(float(row["price"]) * 100)
print(json.dumps(totals, sort_keys=True))
