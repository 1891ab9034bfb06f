// Sums a sales table by region: report.js INPUT [OUTPUT]
const [, input, output] = scriptArgs;
const text = std.loadFile(input);
if (text === null) {
    std.err.puts(`cannot read ${input}\n`);
    std.exit(1);
}

const totals = new Map();
for (const line of text.trim().split("\n").slice(1)) {
    const [, region, , units, price] = line.split(",");
    totals.set(region, (totals.get(region) ?? 0) + units * price);
}

const lines = [...totals].sort((a, b) => b[1] - a[1]);
const report = lines.map(([region, total]) => `${region.padEnd(8)}${total.toFixed(2).padStart(10)}\n`).join("");
if (output === undefined) {
    std.out.puts(report);
} else {
    const file = std.open(output, "w");
    if (file === null) {
        std.err.puts(`cannot write ${output}\n`);
        std.exit(1);
    }
    file.puts(report);
    file.close();
}
