# Units and revenue, in cents, of each region in a table of sales.
use strict;
use warnings;
use JSON::PP;

my %totals;
open my $table, '<', '/sales.csv' or do { warn "cannot read /sales.csv: $!\n"; exit 1 };
readline $table;
while (my $line = readline $table) {
    chomp $line;
    my (undef, $region, undef, $units, $price) = split /,/, $line;
    $totals{$region}{units} += $units;
    $totals{$region}{cents} += $units * sprintf '%.0f', $price * 100;
}
print JSON::PP->new->canonical->encode(\%totals), "\n";
