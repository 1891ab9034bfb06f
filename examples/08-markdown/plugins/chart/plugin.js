// Renders numbers as bars: `tea 12`.
export function render(block) {
  const rows = block.lines.map((line) => line.split(" "));
  const most = Math.max(...rows.map(([, number]) => Number(number)));
  if (!Number.isFinite(most)) throw "no numbers";
  const bars = rows.map(([name, number]) => `${name.padEnd(8)}${"█".repeat((20 * number) / most)} ${number}`);
  return `<pre>${block.title}\n${bars.join("\n")}</pre>`;
}
