<?php
// Units and revenue, in cents, of each region in a table of sales.
$totals = [];
$table = fopen('/sales.csv', 'r') or exit(1);
fgetcsv($table);
while (($row = fgetcsv($table)) !== false) {
    [, $region, , $units, $price] = $row;
    $totals[$region] ??= ['units' => 0, 'cents' => 0];
    $totals[$region]['units'] += (int) $units;
    $totals[$region]['cents'] += (int) $units * (int) round($price * 100);
}
ksort($totals);
echo json_encode($totals), "\n";
