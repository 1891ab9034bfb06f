// The same report in JavaScript: units and revenue of each region in a table of sales.
import * as std from "qjs:std";

const [, , path] = process.argv;
const text = std.loadFile(path);
if (text === null) throw new Error(`cannot read ${path}`);
const totals = new Map();
for (const line of text.trim().split("\n").slice(1)) {
  const [, region, , units, price] = line.split(",");
  const [count, sum] = totals.get(region) ?? [0, 0];
  totals.set(region, [count + Number(units), sum + Number(units) * Math.round(Number(price) * 100)]);
}
for (const [region, [count, sum]] of [...totals].sort()) {
  console.log(region.padEnd(12) + String(count).padStart(4) + (sum / 100).toFixed(2).padStart(10));
}
