// Units and revenue, in cents, of each region in a table of sales.
import * as std from "qjs:std";

const text = std.loadFile("/sales.csv");
if (text === null) throw new Error("cannot read /sales.csv");
const totals = {};
for (const line of text.trim().split("\n").slice(1)) {
  const [, region, , units, price] = line.split(",");
  const total = (totals[region] ??= { units: 0, cents: 0 });
  total.units += Number(units);
  total.cents += Number(units) * Math.round(Number(price) * 100);
}
console.log(JSON.stringify(Object.fromEntries(Object.entries(totals).sort())));
