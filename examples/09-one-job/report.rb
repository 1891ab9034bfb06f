# Units and revenue, in cents, of each region in a table of sales.
require "json"

totals = Hash.new { |all, region| all[region] = { units: 0, cents: 0 } }
File.foreach("/sales.csv", chomp: true).drop(1).each do |line|
  _, region, _, units, price = line.split(",")
  totals[region][:units] += Integer(units)
  totals[region][:cents] += Integer(units) * (Float(price) * 100).round
end
puts JSON.generate(totals.sort.to_h)
