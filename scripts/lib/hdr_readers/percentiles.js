// Prints what the npm package hdr-histogram-js reads from an interval log: by tag, the number of
// values and percentiles in nanoseconds, as JSON. Usage: node percentiles.js FILE PERCENTILE...
const fs = require("fs");
const { HistogramLogReader } = require("hdr-histogram-js");

const [file, ...percentiles] = process.argv.slice(2);
const reader = new HistogramLogReader(fs.readFileSync(file, "utf8"));
const totals = {};
for (let next = reader.nextIntervalHistogram(); next != null; next = reader.nextIntervalHistogram()) {
  if (totals[next.tag]) totals[next.tag].add(next);
  else totals[next.tag] = next;
}
const result = {};
for (const [tag, total] of Object.entries(totals)) {
  const values = percentiles.map((percentile) => [percentile, total.getValueAtPercentile(Number(percentile))]);
  result[tag] = { count: total.totalCount, max: total.maxValue, ...Object.fromEntries(values) };
}
console.log(JSON.stringify(result));
