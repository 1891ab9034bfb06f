-- Units and revenue, in cents, of each region in a table of sales.
.import --csv /sales.csv sales
SELECT json_group_object(region, json_object('units', units, 'cents', cents))
FROM (
  SELECT region, sum(CAST(units AS INTEGER)) AS units, sum(units * CAST(round(price * 100) AS INTEGER)) AS cents
  FROM sales GROUP BY region ORDER BY region
);
