"""Somebody's script: units and revenue of each region in a table of sales."""

import csv
import sys
from collections import defaultdict
from decimal import Decimal

units = defaultdict(int)
revenue = defaultdict(Decimal)
with open(sys.argv[1], newline="") as table:
    for row in csv.DictReader(table):
        units[row["region"]] += int(row["units"])
        revenue[row["region"]] += int(row["units"]) * Decimal(row["price"])
out = open(sys.argv[2], "w") if len(sys.argv) > 2 else sys.stdout
for region in sorted(units):
    print(f"{region:<12}{units[region]:>4}{revenue[region]:>10}", file=out)
